{{/*
Values with an old name, as a JSON list of messages: "regions[0].holdMessage: was renamed: write waitingMessage".
renamed.yaml is the table of them.
*/}}
{{- define "voicefleet.renamedValues" -}}
{{- $renamed := .Files.Get "renamed.yaml" | fromYaml -}}
{{- $places := list (dict "at" "" "values" .Values) -}}
{{- range $index, $item := .Values.regions -}}
{{- $places = append $places (dict "at" (printf "regions[%d]." $index) "values" $item) -}}
{{- end -}}
{{- $found := list -}}
{{- range $place := $places -}}
{{- range $old, $new := $renamed -}}
{{- $here := $place.values -}}
{{- $there := true -}}
{{- range splitList "." $old -}}
{{- if and (kindIs "map" $here) (hasKey $here .) -}}
{{- $here = get $here . -}}
{{- else -}}
{{- $here = dict -}}
{{- $there = false -}}
{{- end -}}
{{- end -}}
{{- if $there -}}
{{- $found = append $found (printf "%s%s: was renamed: write %s%s" $place.at $old $place.at $new) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}
