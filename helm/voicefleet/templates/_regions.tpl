{{/*
The regions as they are meant, and their pools: each item of `regions` laid over the defaults, with the names that follow from
it. Gives JSON, {"all": the regions, "pools": the pools of all, "here": those pools that are in this cluster}:
`$pools := (include "voicefleet.regions" . | fromJson).here`. A region without `agents` is its only pool; else there is a pool
for each version of each agent, with what these say of their `pool` and `worker` laid over the region's.
*/}}
{{- define "voicefleet.regions" -}}
{{- $root := . -}}
{{- $defaults := pick .Values "createNamespace" "agentName" "rooms" "trunks" "handoff" "livekit" "pool" "waitingMessage" "worker" -}}
{{- $many := gt (len .Values.regions) 1 -}}
{{- $all := list -}}
{{- $pools := list -}}
{{- $here := list -}}
{{- range $index, $item := .Values.regions -}}
{{- $region := mergeOverwrite (deepCopy $defaults) (deepCopy $item) -}}
{{- $_ := set $region "at" (printf "regions[%d]" $index) -}}
{{- $_ := set $region "region" $region.name -}}
{{- $_ := set $region "namespace" ($item.namespace | default (printf "%s-%s" $root.Release.Namespace $region.name)) -}}
{{- $agent := ternary (printf "voicefleet-%s" $region.name) "voicefleet" (and $root.Values.devStack.enabled $many) -}}
{{- $_ := set $region "agentName" ($region.agentName | default $agent) -}}
{{- $_ := set $region "env" ($region.name | replace "-" "_" | upper) -}}
{{- $_ := set $region "agents" ($region.agents | default dict) -}}
{{- if $root.Values.devStack.enabled -}}
{{- $_ := set $region.livekit "url" ($region.livekit.url | default (printf "ws://%s-livekit.%s.svc:7880" (include "voicefleet.fullname" $root) $root.Release.Namespace)) -}}
{{- $_ := set $region.livekit "existingSecret" ($region.livekit.existingSecret | default (printf "%s-livekit" (include "voicefleet.fullname" $root))) -}}
{{- end -}}
{{- $_ := set $region "cluster" ($region.cluster | default dict) -}}
{{- $own := list -}}
{{- range $agentName, $agent := $region.agents -}}
{{- $versions := $agent.versions | default (dict "" dict) -}}
{{- range $versionName, $version := $versions -}}
{{- $pool := mergeOverwrite (deepCopy $region) (deepCopy (pick $agent "pool" "worker")) (deepCopy (pick $version "pool" "worker")) -}}
{{- $_ := set $pool "agentName" (join "-" (compact (list $agentName $versionName))) -}}
{{- $_ := set $pool "name" (printf "%s-%s" $region.name $pool.agentName) -}}
{{- if $agent.tier -}}
{{- $_ := set $pool "tier" $agent.tier -}}
{{- $_ := set $pool "tierCanary" ($agent.tierCanary | default dict) -}}
{{- end -}}
{{- $_ := set $pool "at" (printf "%s.agents.%s%s" $region.at $agentName (ternary (printf ".versions.%s" $versionName) "" (ne $versionName ""))) -}}
{{- $own = append $own $pool -}}
{{- end -}}
{{- end -}}
{{- range $own | default (list $region) -}}
{{- $_ := set . "workload" (printf "%s-%s" (include "voicefleet.fullname" $root) .name) -}}
{{- $worker := .worker -}}
{{- if and $root.Values.devStack.enabled (not (or $worker.agent $worker.tiers.builtin $worker.tiers.content $worker.tiers.existingConfigMap)) -}}
{{- $_ := set $worker.tiers "builtin" "synthetic" -}}
{{- end -}}
{{- $_ := set $worker "terminationGracePeriodSeconds" ($worker.terminationGracePeriodSeconds | default (add (int $worker.drainTimeoutSeconds) 400)) -}}
{{- $pools = append $pools . -}}
{{- if not .cluster.kubeconfigSecret -}}
{{- $here = append $here . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $region "workload" (printf "%s-%s" (include "voicefleet.fullname" $root) $region.name) -}}
{{- $all = append $all $region -}}
{{- end -}}
{{- toJson (dict "all" $all "pools" $pools "here" $here) -}}
{{- end -}}
