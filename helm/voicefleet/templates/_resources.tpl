{{/* What a worker takes for its slots, and what it asks for. The measured figures are in files/worker-needs.yaml. */}}

{{/* A quantity of Kubernetes (250m, 1.5, 2Gi) as a number, in text. */}}
{{- define "voicefleet.quantity" -}}
{{- $given := toString . -}}
{{- $suffix := regexFind "[A-Za-z]+$" $given -}}
{{- $factors := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (trimSuffix $suffix $given | float64) (get $factors $suffix | float64) -}}
{{- end -}}

{{/*
What a worker takes with all its slots in calls, as JSON: {"kind": KIND, "cpu": millicores, "memory": MiB, "job": MiB of one job
process, "allowance": how many times that it asks for}. Arguments: root, pool (as `voicefleet.regions` gives it).
*/}}
{{- define "voicefleet.workerNeeds" -}}
{{- $measured := .root.Files.Get "files/worker-needs.yaml" | fromYaml -}}
{{- $tiers := .pool.worker.tiers -}}
{{- $kind := ternary "local" "providers" (or (eq $tiers.builtin "local") (contains "voicefleet.local.whisper" (toJson $tiers.content))) -}}
{{- $need := get $measured $kind -}}
{{- $slots := int .pool.pool.slots -}}
{{- $processes := max $slots (int .pool.worker.idleProcesses) -}}
{{- $cpu := add $need.worker_millicores (mul $slots $need.call_millicores) -}}
{{- $memory := add $need.worker_mib (mul $processes $need.call_mib) -}}
{{- dict "kind" $kind "cpu" $cpu "memory" $memory "job" $need.job_mib "allowance" $measured.allowance | toJson -}}
{{- end -}}

{{/* The resources of a worker: as given, with requests for its slots where none are given. Arguments: as above. */}}
{{- define "voicefleet.workerResources" -}}
{{- $needs := include "voicefleet.workerNeeds" . | fromJson -}}
{{- $cpu := mul $needs.allowance $needs.cpu -}}
{{- $memory := mul $needs.allowance $needs.memory -}}
{{- $requests := dict "cpu" (printf "%dm" $cpu) "memory" (printf "%dMi" $memory) -}}
{{- mergeOverwrite (dict "requests" $requests) (deepCopy .pool.worker.resources) | toYaml -}}
{{- end -}}

{{/*
What does not fit of a worker's resources, as JSON: {"limits": [...], "requests": [...]} with a sentence each. A limit below
the need cuts calls off or makes them stutter, always; a request below it only where a node is full. Arguments: as above.
*/}}
{{- define "voicefleet.resourceChecks" -}}
{{- $pool := .pool -}}
{{- $needs := include "voicefleet.workerNeeds" . | fromJson -}}
{{- $units := dict "cpu" (dict "one" 0.001 "sign" "m") "memory" (dict "one" 1048576 "sign" "Mi") -}}
{{- $wrong := dict "limits" list "requests" list -}}
{{- range $part := list "limits" "requests" -}}
{{- range $name, $unit := $units -}}
{{- $given := get (get $pool.worker.resources $part | default dict) $name -}}
{{- if toString ($given | default "") -}}
{{- $need := int (get $needs $name) -}}
{{- if lt (include "voicefleet.quantity" $given | float64) (mulf $need $unit.one) -}}
{{- $said := printf "%s: worker.resources.%s.%s (%v) is less than the %d%s that %d calls of pool.slots were measured to take (files/worker-needs.yaml, %s)" $pool.at $part $name $given $need $unit.sign (int $pool.pool.slots) $needs.kind -}}
{{- $said = printf "%s: give %d%s, leave it out, or lower pool.slots" $said (mul $needs.allowance $need) $unit.sign -}}
{{- $_ := set $wrong $part (append (get $wrong $part) $said) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
