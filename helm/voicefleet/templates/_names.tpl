{{/* Names and labels. Selectors never change: a Deployment's cannot be. */}}

{{- define "voicefleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "voicefleet" .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-voicefleet" (.Release.Name | trunc 19 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* Who runs the pools of this release: the annotation by which two releases never share one. */}}
{{- define "voicefleet.owner" -}}
{{- printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- end -}}

{{/* Selector of a component. Arguments: root, component, region (optional). */}}
{{- define "voicefleet.selector" -}}
app.kubernetes.io/name: voicefleet
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .region }}
voicefleet.dev/region: {{ . }}
{{- end }}
{{- end -}}

{{- define "voicefleet.labels" -}}
{{ include "voicefleet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: voicefleet
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end -}}

{{/*
An image of ours or of the trial's servers. Arguments: root, image, own (the project's tag is its default). As docker
reads it, a repository whose first part has a dot or a colon names its registry itself.
*/}}
{{- define "voicefleet.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry -}}
{{- if not (regexMatch "^([^/]*[.:][^/]*|localhost)/" $repository) -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else if .own -}}
{{- printf "%s:%s" $repository (coalesce .image.tag .root.Values.image.tag .root.Chart.AppVersion) -}}
{{- else -}}
{{- printf "%s:%s" $repository .image.tag -}}
{{- end -}}
{{- end -}}

{{- define "voicefleet.controllerUrl" -}}
{{- printf "http://%s-controller.%s.svc:%d" (include "voicefleet.fullname" .) .Release.Namespace (int .Values.controller.service.port) -}}
{{- end -}}

{{/* Not empty when the controller's account is held by an admission policy: it is wanted, and the cluster has the kind. */}}
{{- define "voicefleet.admissionPolicy" -}}
{{- if and .Values.admissionPolicy.enabled (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
yes
{{- end -}}
{{- end -}}

{{/* Where alerts and dashboards lead to: the runbooks of the controller, at its Ingress's host where that offers them. */}}
{{- define "voicefleet.runbooks" -}}
{{- $ingress := .Values.controller.ingress }}
{{- if .Values.prometheusRule.runbookUrl }}
{{- .Values.prometheusRule.runbookUrl }}
{{- else if and $ingress.enabled (or (has "/" $ingress.paths) (has "/runbooks" $ingress.paths)) }}
{{- printf "%s://%s/runbooks" (ternary "https" "http" (or (not (empty $ingress.tlsSecret)) $ingress.tlsElsewhere)) $ingress.host }}
{{- else }}
{{- printf "http://%s-controller.%s:%v/runbooks" (include "voicefleet.fullname" .) .Release.Namespace .Values.controller.service.port }}
{{- end }}
{{- end }}
