"""Workers as pods of a Deployment, behind `Fleet`. Beside it only `loadtest.pods.api` imports the Kubernetes client.

client            connections by kubeconfig context or as a pod, our errors
reflector         list and watch: what the API server last said, and how long ago it was confirmed
deployment_watch  a Deployment, its pods and events, each kept current by a reflector
pods              PURE  a pod's manifest -> what matters of it
deployment        PURE  a Deployment's and its events' manifests -> what matters of them
deployment_view   PURE  the pods, and over them what was written and is not seen yet
scale_plan        PURE  what to write next
scale_client      writes it
pod_startups      PURE  when each pod took which step
fleet             all of these behind `Fleet`
event_recorder    Kubernetes events about pools in trouble
lease             the Lease behind `election.LeasePort`
"""
