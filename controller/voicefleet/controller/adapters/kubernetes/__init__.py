"""Workers as pods of a Deployment, behind `Fleet`. Nothing else in voicefleet imports the Kubernetes client.

client    connections by kubeconfig context or as a pod, our errors
cache     list and watch: what the API server last said, and how long ago it was confirmed
pods      PURE  a pod's manifest -> what matters of it
pool      PURE  a Deployment's and its events' manifests -> what matters of them
overlay   PURE  what was written and is not seen yet, laid over the pods
writes    PURE  what to write next
writer    carries it out
startups    PURE  when each pod took which step
fleet     all of these behind `Fleet`
announce  events that say which pools are in trouble
lease     the Lease behind `election.LeasePort`
"""
