{{/* Who reaches whom: what the network policies of controller and workers have in common. */}}

{{/*
Everywhere, but for the clouds' metadata services, which would hand out the node's credentials. Pods are named beside the
addresses, since not every network takes a pod's address for one.
*/}}
{{- define "voicefleet.everywhere" -}}
{{- $four := list -}}
{{- $six := list -}}
{{- range .Values.networkPolicy.deniedAddresses -}}
{{- if contains ":" . -}}
{{- $six = append $six . -}}
{{- else -}}
{{- $four = append $four . -}}
{{- end -}}
{{- end -}}
- namespaceSelector: {}
- ipBlock:
    cidr: 0.0.0.0/0
    {{- with $four }}
    except:
      {{- toYaml . | nindent 6 }}
    {{- end }}
- ipBlock:
    cidr: ::/0
    {{- with $six }}
    except:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}

{{/* A rule for TCP ports. Arguments: root, ports. */}}
{{- define "voicefleet.egressTo" -}}
- to:
    {{- include "voicefleet.everywhere" .root | nindent 4 }}
  ports:
    {{- range uniq .ports }}
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
{{- end -}}

{{/* Names, Redis, LiveKit and its media, telemetry. Arguments: root, regions (those whose LiveKit is reached). */}}
{{- define "voicefleet.egress" -}}
{{- $ports := .root.Values.networkPolicy.ports -}}
{{- $redis := list -}}
{{- range .root.Values.redis.hosts -}}
{{- $redis = append $redis (regexFind "[0-9]+$" . | int) -}}
{{- end -}}
{{- $signal := list -}}
{{- range .regions -}}
{{- range compact (list .livekit.url .livekit.apiUrl) -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- $signal = append $signal ($port | default (ternary "443" "80" (regexMatch "^(wss|https):" .)) | int) -}}
{{- end -}}
{{- end -}}
# Names. Packets are looked at after a Service became a pod, and OpenShift's pods listen on 5353.
- to:
    {{- include "voicefleet.everywhere" .root | nindent 4 }}
  ports:
    {{- range list 53 5353 }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
# Redis.
{{ include "voicefleet.egressTo" (dict "root" .root "ports" (concat $redis $ports.redis)) }}
# LiveKit.
{{ include "voicefleet.egressTo" (dict "root" .root "ports" $signal) }}
{{- with $ports.media }}
# Its media.
- to:
    {{- include "voicefleet.everywhere" $.root | nindent 4 }}
  ports:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $ports.telemetry }}
# Traces.
{{ include "voicefleet.egressTo" (dict "root" $.root "ports" .) }}
{{- end }}
{{- end -}}

{{/* A namespace by its name. */}}
{{- define "voicefleet.namespacePeer" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end -}}

{{/* Values that would shut somebody out whom other values invite. Gives JSON, a list of lines for `voicefleet.checks`. */}}
{{- define "voicefleet.networkChecks" -}}
{{- $policy := .Values.networkPolicy -}}
{{- $controller := .Values.controller -}}
{{- $wrong := list -}}
{{- if $policy.enabled -}}
{{- if and $controller.enabled (not $policy.controllerFrom) -}}
{{- if and $controller.ingress.enabled (not $policy.ingressNamespace) -}}
{{- $wrong = append $wrong "networkPolicy.ingressNamespace: is empty, and controller.ingress.enabled is true: name the Ingress controller's namespace, or give a load balancer's addresses in networkPolicy.controllerFrom" -}}
{{- end -}}
{{- if and (ne $controller.service.type "ClusterIP") (not $controller.ingress.enabled) -}}
{{- $wrong = append $wrong (printf "networkPolicy.controllerFrom: is empty, and controller.service.type is %s, so nobody outside would reach it: name who may, for instance [{ipBlock: {cidr: 203.0.113.0/24}}]" $controller.service.type) -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not $policy.monitoringNamespace) -}}
{{- $wrong = append $wrong "networkPolicy.monitoringNamespace: is empty, and serviceMonitor.enabled is true: name Prometheus' namespace" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not $policy.monitoringNamespace) (not $policy.workersFrom) -}}
{{- $wrong = append $wrong "networkPolicy.monitoringNamespace: is empty, and podMonitor.enabled is true: name Prometheus' namespace" -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $wrong) -}}
{{- end -}}
