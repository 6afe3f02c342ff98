{{/* What a worker takes for its slots, and what it asks for. The measured figures are in files/worker-needs.yaml. */}}

{{/* A quantity of Kubernetes (250m, 1.5, 2Gi) as a number, in text. */}}
{{- define "voicefleet.quantity" -}}
{{- $given := toString . -}}
{{- $suffix := regexFind "[A-Za-z]+$" $given -}}
{{- $factors := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (trimSuffix $suffix $given | float64) (get $factors $suffix | float64) -}}
{{- end -}}

{{/*
What a worker takes with all its slots in calls, as JSON: {"kind": KIND, "cpu": millicores, "memory": MiB, "job": MiB}. Arguments:
root, pool (as `voicefleet.regions` gives it).
*/}}
{{- define "voicefleet.workerNeeds" -}}
{{- $measured := .root.Files.Get "files/worker-needs.yaml" | fromYaml -}}
{{- $tiers := .pool.worker.tiers -}}
{{- $kind := ternary "local" "providers" (or (eq $tiers.builtin "local") (contains "voicefleet.local.whisper" (toJson $tiers.content))) -}}
{{- $need := get $measured $kind -}}
{{- $slots := int .pool.pool.slots -}}
{{- $idle := int (.pool.worker.idleProcesses | default $slots) -}}
{{- $cpu := add $need.worker_millicores (mul $slots $need.call_millicores) -}}
{{- $memory := add $need.worker_mib (mul (max $slots $idle) $need.call_mib) -}}
{{- dict "kind" $kind "cpu" $cpu "memory" $memory "job" $need.job_mib | toJson -}}
{{- end -}}

{{/* The resources of a worker: as given, with requests for its slots where none are given. Arguments: as above. */}}
{{- define "voicefleet.workerResources" -}}
{{- $needs := include "voicefleet.workerNeeds" . | fromJson -}}
{{- $requests := dict "cpu" (printf "%dm" (int $needs.cpu)) "memory" (printf "%dMi" (int $needs.memory)) -}}
{{- mergeOverwrite (dict "requests" $requests) (deepCopy .pool.worker.resources) | toYaml -}}
{{- end -}}

{{/*
What does not fit of a worker's resources, as JSON: {"limits": [...], "requests": [...]} with a sentence each. A limit below
the need cuts calls off or makes them stutter, always; a request below it only where a node is full. Arguments: as above.
*/}}
{{- define "voicefleet.resourceChecks" -}}
{{- $pool := .pool -}}
{{- $needs := include "voicefleet.workerNeeds" . | fromJson -}}
{{- $units := dict "cpu" (dict "one" 0.001 "shown" "%dm") "memory" (dict "one" 1048576 "shown" "%dMi") -}}
{{- $wrong := dict "limits" list "requests" list -}}
{{- range $part := list "limits" "requests" -}}
{{- range $name, $unit := $units -}}
{{- $given := get (get $pool.worker.resources $part | default dict) $name -}}
{{- if toString ($given | default "") -}}
{{- $need := int (get $needs $name) -}}
{{- if lt (include "voicefleet.quantity" $given | float64) (mulf $need $unit.one) -}}
{{- $shown := printf $unit.shown $need -}}
{{- $said := printf "%s: worker.resources.%s.%s (%v) is less than the %s that %d calls of pool.slots take (measured, files/worker-needs.yaml: %s): give at least %s, leave it out, or lower pool.slots" $pool.at $part $name $given $shown (int $pool.pool.slots) $needs.kind $shown -}}
{{- $_ := set $wrong $part (append (get $wrong $part) $said) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
