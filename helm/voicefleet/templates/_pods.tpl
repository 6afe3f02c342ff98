{{/* What all pods have in common. */}}

{{- define "voicefleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "voicefleet.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{/* Spread constraints, each with a selector. Arguments: given, fallback (topology keys), selector (labels, YAML). */}}
{{- define "voicefleet.spread" -}}
{{- $selector := dict "matchLabels" (fromYaml .selector) -}}
{{- $constraints := list -}}
{{- range .given -}}
{{- $constraints = append $constraints (merge (deepCopy .) (dict "labelSelector" $selector)) -}}
{{- else -}}
{{- range .fallback -}}
{{- $constraints = append $constraints (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" $selector) -}}
{{- end -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}

{{/* Containers of the user's, which keep to the restricted standard as ours do unless they say otherwise. */}}
{{- define "voicefleet.extraContainers" -}}
{{- $security := include "voicefleet.containerSecurity" . | fromYaml -}}
{{- range . }}
- {{ mergeOverwrite (dict "securityContext" (deepCopy $security)) (deepCopy .) | toYaml | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* What runs before a pod's own container. Arguments: root, image, extra (the user's). */}}
{{- define "voicefleet.initContainers" -}}
{{- $wait := include "voicefleet.waitForServers" . -}}
{{- if or $wait .extra }}
initContainers:
  {{- with $wait }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- include "voicefleet.extraContainers" .extra | nindent 2 }}
{{- end }}
{{- end -}}

{{/* In a trial, pods start beside the servers they need: wait for these instead of being started again and again. */}}
{{- define "voicefleet.waitForServers" -}}
{{- if and .root.Values.devStack.enabled .root.Values.devStack.waitForServers -}}
- name: wait-for-servers
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command:
    - python3
    - -c
    - |
      import signal, socket, sys, time
      # The first process of a container is not ended by a signal that it does not ask for.
      signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
      deadline = time.monotonic() + 300
      for server in sys.argv[1:]:
          host, _, port = server.rpartition(":")
          while True:
              try:
                  socket.create_connection((host, int(port)), 1).close()
                  break
              except OSError as error:
                  if time.monotonic() > deadline:
                      sys.exit(f"{server} does not answer: {error}")
                  time.sleep(0.1)
    - {{ printf "%s-redis.%s.svc:6379" (include "voicefleet.fullname" .root) .root.Release.Namespace }}
    - {{ printf "%s-livekit.%s.svc:7880" (include "voicefleet.fullname" .root) .root.Release.Namespace }}
  resources:
    requests:
      cpu: 10m
      memory: 32Mi
  securityContext:
    {{- include "voicefleet.containerSecurity" .root | nindent 4 }}
{{- end }}
{{- end -}}
