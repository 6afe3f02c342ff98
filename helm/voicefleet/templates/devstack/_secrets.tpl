{{/*
A secret of the trial, 40 signs. With `devStack.seed` it follows from that, the same at each rendering; else the one that is
there already stays, and where none is, it is drawn. Arguments: root, purpose, known (what the cluster has, in base64).
*/}}
{{- define "voicefleet.devSecret" -}}
{{- $root := .root -}}
{{- with $root.Values.devStack.seed -}}
{{- printf "%s\n%s/%s\n%s" . $root.Release.Namespace (include "voicefleet.fullname" $root) $.purpose | sha256sum | trunc 40 -}}
{{- else -}}
{{- .known | default "" | b64dec | default (randAlphaNum 40) -}}
{{- end -}}
{{- end -}}

{{/*
Who may do what in the trial's Redis, in the format of its aclfile. Arguments: root, hashes: SHA-256 of the passwords of
admin, of controller, and of each pool by its name.
*/}}
{{- define "voicefleet.redisUsers" -}}
{{- $rules := .root.Files.Get "files/redis-acl.yaml" | fromYaml -}}
{{- $hashes := .hashes -}}
{{- $pools := (include "voicefleet.regions" .root | fromJson).pools -}}
{{- $controller := $rules.controller -}}
{{- range $pools -}}
{{- $controller = concat $controller (join " " $rules.region | replace "REGION" .name | splitList " ") -}}
{{- end -}}
user default on {{ printf "#%s" (get $hashes "admin") }} ~* &* +@all
user voicefleet-controller on {{ printf "#%s" (get $hashes "controller") }} {{ join " " $controller }}
{{- range $pools }}
user voicefleet-worker-{{ .name }} on {{ printf "#%s" (get $hashes .name) }} {{ join " " $rules.worker | replace "REGION" .name }}
{{- end }}
{{ end -}}
