{{/* How Redis is reached: environment, and the volume of its authority. */}}

{{/* Arguments: root, user (of devStack's Redis): controller, or worker-POOL; key (optional): in place of `redis.urlKey`. */}}
{{- define "voicefleet.redisEnv" -}}
{{- $user := .user -}}
{{- $urlKey := .key | default .root.Values.redis.urlKey -}}
{{- with .root -}}
{{- $redis := .Values.redis -}}
{{- if or .Values.devStack.enabled $redis.existingSecret }}
- name: VOICEFLEET_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $redis.existingSecret | default (printf "%s-redis" (include "voicefleet.fullname" .)) }}
      key: {{ ternary (printf "url-%s" $user) $urlKey (and .Values.devStack.enabled (not $redis.existingSecret)) }}
{{- else }}
{{- if $redis.passwordSecret }}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $redis.passwordSecret }}
      key: {{ $redis.passwordKey }}
{{- end }}
- name: VOICEFLEET_REDIS_URL
  value: {{ include "voicefleet.redisUrl" . | quote }}
{{- end }}
{{- if $redis.caSecret }}
- name: VOICEFLEET_REDIS_CA_FILE
  value: /etc/voicefleet-redis/{{ $redis.caKey }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The address for `redis.hosts`; Kubernetes puts the password in when the container starts. */}}
{{- define "voicefleet.redisUrl" -}}
{{- $redis := .Values.redis -}}
{{- $scheme := ternary "rediss" "redis" $redis.tls -}}
{{- $user := "" -}}
{{- if $redis.passwordSecret -}}
{{- $user = printf "%s:$(REDIS_PASSWORD)@" $redis.username -}}
{{- end -}}
{{- $hosts := join "," $redis.hosts -}}
{{- if $redis.sentinelMaster -}}
{{- printf "%s+sentinel://%s%s/%s/%d" $scheme $user $hosts $redis.sentinelMaster (int $redis.database) -}}
{{- else -}}
{{- printf "%s://%s%s/%d" $scheme $user $hosts (int $redis.database) -}}
{{- end -}}
{{- end -}}

{{- define "voicefleet.redisVolume" -}}
{{- with .Values.redis.caSecret }}
- name: redis-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0444
    items:
      - key: {{ $.Values.redis.caKey }}
        path: {{ $.Values.redis.caKey }}
{{- end }}
{{- end -}}

{{- define "voicefleet.redisMount" -}}
{{- if .Values.redis.caSecret }}
- name: redis-ca
  mountPath: /etc/voicefleet-redis
  readOnly: true
{{- end }}
{{- end -}}
