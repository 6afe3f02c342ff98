"""Leader election: of several controllers only one writes to Kubernetes."""
