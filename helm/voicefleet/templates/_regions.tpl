{{/*
The regions as they are meant: each item of `regions` laid over the defaults, with the names that follow from it.
Gives JSON, {"all": [...], "here": [...]}: `$regions := (include "voicefleet.regions" . | fromJson).all`. "here" are those
whose pool is in this cluster.
*/}}
{{- define "voicefleet.regions" -}}
{{- $root := . -}}
{{- $defaults := pick .Values "createNamespace" "agentName" "rooms" "trunks" "handoff" "livekit" "pool" "waitingMessage" "worker" -}}
{{- $many := gt (len .Values.regions) 1 -}}
{{- $all := list -}}
{{- $here := list -}}
{{- range $index, $item := .Values.regions -}}
{{- $region := mergeOverwrite (deepCopy $defaults) (deepCopy $item) -}}
{{- $_ := set $region "at" (printf "regions[%d]" $index) -}}
{{- $_ := set $region "workload" (printf "%s-%s" (include "voicefleet.fullname" $root) $region.name) -}}
{{- $_ := set $region "namespace" ($item.namespace | default (printf "%s-%s" $root.Release.Namespace $region.name)) -}}
{{- $agent := ternary (printf "voicefleet-%s" $region.name) "voicefleet" (and $root.Values.devStack.enabled $many) -}}
{{- $_ := set $region "agentName" ($region.agentName | default $agent) -}}
{{- $_ := set $region "env" ($region.name | replace "-" "_" | upper) -}}
{{- if $root.Values.devStack.enabled -}}
{{- $_ := set $region.livekit "url" ($region.livekit.url | default (printf "ws://%s-livekit.%s.svc:7880" (include "voicefleet.fullname" $root) $root.Release.Namespace)) -}}
{{- $_ := set $region.livekit "existingSecret" ($region.livekit.existingSecret | default (printf "%s-livekit" (include "voicefleet.fullname" $root))) -}}
{{- end -}}
{{- $worker := $region.worker -}}
{{- if and $root.Values.devStack.enabled (not (or $worker.agent $worker.tiers.builtin $worker.tiers.content $worker.tiers.existingConfigMap)) -}}
{{- $_ := set $worker.tiers "builtin" "synthetic" -}}
{{- end -}}
{{- $_ := set $worker "terminationGracePeriodSeconds" ($worker.terminationGracePeriodSeconds | default (add (int $worker.drainTimeoutSeconds) 400)) -}}
{{- $_ := set $region "cluster" ($region.cluster | default dict) -}}
{{- $all = append $all $region -}}
{{- if not $region.cluster.kubeconfigSecret -}}
{{- $here = append $here $region -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "all" $all "here" $here) -}}
{{- end -}}
