{{/* controller.yaml. Secrets are named by their environment variables and never stand here. */}}
{{- define "voicefleet.controllerConfig" -}}
{{- $root := . -}}
{{- $controller := .Values.controller -}}
{{- $regions := dict -}}
{{- range (include "voicefleet.regions" . | fromJson).all -}}
{{- $livekit := dict "url" .livekit.url "api_key_env" (printf "LIVEKIT_%s_API_KEY" .env) "api_secret_env" (printf "LIVEKIT_%s_API_SECRET" .env) -}}
{{- with .livekit.apiUrl -}}
{{- $_ := set $livekit "api_url" . -}}
{{- end -}}
{{- $pool := dict
      "min_workers" (int .pool.minWorkers)
      "max_workers" (int .pool.maxWorkers)
      "slots" (int .pool.slots)
      "policy" .pool.policy
      "wait_ratio" .pool.waitRatio
      "mode" .pool.mode
      "buffer" (int .pool.buffer)
      "scale_down_delay_s" .pool.scaleDownDelaySeconds
      "start_timeout_s" .pool.startTimeoutSeconds -}}
{{- if eq .pool.mode "fixed" -}}
{{- $_ := set $pool "fixed_workers" (int .pool.fixedWorkers) -}}
{{- end -}}
{{- with .pool.schedule -}}
{{- $shifts := list -}}
{{- range . -}}
{{- $shifts = append $shifts (dict "days" .days "begin" .begin "end" .end "timezone" (.timezone | default "UTC") "min_workers" (int .minWorkers)) -}}
{{- end -}}
{{- $_ := set $pool "schedule" $shifts -}}
{{- end -}}
{{- with .pool.campaigns -}}
{{- $campaigns := list -}}
{{- range . -}}
{{- $campaigns = append $campaigns (dict "start" .start "duration_s" .durationSeconds "calls" .calls) -}}
{{- end -}}
{{- $_ := set $pool "campaigns" $campaigns -}}
{{- end -}}
{{- $kubernetes := dict "namespace" .namespace "deployment" .workload -}}
{{- if .cluster.kubeconfigSecret -}}
{{- $_ := set $kubernetes "kubeconfig" (printf "/etc/voicefleet-cluster/%s/kubeconfig" .name) -}}
{{- with .cluster.context -}}
{{- $_ := set $kubernetes "context" . -}}
{{- end -}}
{{- end -}}
{{- $region := dict
      "livekit" $livekit
      "agent_name" .agentName
      "rooms" .rooms
      "handoff" .handoff
      "pool" $pool
      "kubernetes" $kubernetes -}}
{{- if .waitingMessage.enabled -}}
{{- $message := dict "after_s" .waitingMessage.afterSeconds "every_s" .waitingMessage.everySeconds -}}
{{- if .waitingMessage.audio.existingConfigMap -}}
{{- $_ := set $message "audio" (printf "/etc/voicefleet-waiting/%s/waiting.wav" .name) -}}
{{- with .waitingMessage.text -}}
{{- $_ := set $message "text" . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $region "waiting_message" $message -}}
{{- end -}}
{{- $_ := set $regions .name $region -}}
{{- end -}}
{{- $config := dict
      "redis_url_env" "VOICEFLEET_REDIS_URL"
      "listen" "0.0.0.0:8080"
      "auth" $controller.auth
      "owner" (include "voicefleet.owner" .)
      "limits" (dict "requests_per_minute" (int $controller.limits.requestsPerMinute) "concurrent_calls" (int $controller.limits.concurrentCalls) "max_call_duration_s" $controller.limits.maxCallDurationSeconds)
      "tick_s" $controller.tickSeconds
      "listing_s" $controller.listingSeconds
      "waiting_grace_s" $controller.waitingGraceSeconds
      "kubernetes_lease" (dict "namespace" .Release.Namespace "name" (printf "%s-controller" (include "voicefleet.fullname" .)) "duration_s" (int $controller.lease.durationSeconds) "renew_deadline_s" $controller.lease.renewDeadlineSeconds "retry_s" $controller.lease.retrySeconds)
      "regions" $regions -}}
{{- with $controller.trustedProxies -}}
{{- $_ := set $config "trusted_proxies" . -}}
{{- end -}}
{{- if eq $controller.auth "bearer" -}}
{{- if $controller.apiKeys.hashed -}}
{{- $_ := set $config "api_keys_file" "/etc/voicefleet-keys/keys" -}}
{{- else -}}
{{- $_ := set $config "api_keys_env" "VOICEFLEET_API_KEYS" -}}
{{- end -}}
{{- end -}}
{{- with .Values.redis.caSecret -}}
{{- $_ := set $config "redis_ca_file" (printf "/etc/voicefleet-redis/%s" $root.Values.redis.caKey) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "voicefleet.apiKeysSecret" -}}
{{- .Values.controller.apiKeys.existingSecret | default (printf "%s-api-keys" (include "voicefleet.fullname" .)) -}}
{{- end -}}
