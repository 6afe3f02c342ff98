"""A load test on Kubernetes: pods of one Indexed Job, each of which plays a share of the same plan.

plan      PURE  what the pods are to do, as the ConfigMap holds it
gate      PURE  what the starter tells a pod, in an annotation that the kubelet writes into a file of the pod
lines     PURE  what a pod tells the starter, in lines of its log
record    PURE  what a pod has told so far, and what Kubernetes says of it
manifest  PURE  the chart's template -> the Job and its ConfigMap
pod             the pod's side: waits at the gate, plays, tells
api             the Kubernetes API, and our errors
job             the starter's side: makes the Job, starts all pods at once, listens, cleans up

Pods need no access to the API. What they tell goes through their logs, since these outlive the container, have no
limit of size as ConfigMaps (1 MiB) or termination messages (4 KiB) do, and can be read while they grow: each call's
result is safe once the call is over.
"""
