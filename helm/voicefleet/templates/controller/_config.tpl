{{/* controller.yaml. Secrets are named by their environment variables and never stand here. */}}
{{- define "voicefleet.controllerConfig" -}}
{{- $root := . -}}
{{- $controller := .Values.controller -}}
{{- $regions := dict -}}
{{- $pools := dict -}}
{{- range (include "voicefleet.regions" . | fromJson).pools -}}
{{- $_ := set $pools .at . -}}
{{- end -}}
{{- range (include "voicefleet.regions" . | fromJson).all -}}
{{- $livekit := dict "url" .livekit.url "api_key_env" (printf "LIVEKIT_%s_API_KEY" .env) "api_secret_env" (printf "LIVEKIT_%s_API_SECRET" .env) -}}
{{- with .livekit.apiUrl -}}
{{- $_ := set $livekit "api_url" . -}}
{{- end -}}
{{- with .livekit.deployment -}}
{{- $_ := set $livekit "deployment" . -}}
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
      "pool" (include "voicefleet.settings" .pool | fromJson)
      "kubernetes" $kubernetes -}}
{{- with include "voicefleet.trunks" .trunks | fromJson -}}
{{- $_ := set $region "trunks" . -}}
{{- end -}}
{{- with .defaultAgent -}}
{{- $_ := set $region "default_agent" . -}}
{{- end -}}
{{- with .residency -}}
{{- $_ := set $region "residency" . -}}
{{- end -}}
{{- with .spillTo -}}
{{- $_ := set $region "spill_to" . -}}
{{- end -}}
{{- with .probeUrl -}}
{{- $_ := set $region "probe_url" . -}}
{{- end -}}
{{- $region = merge $region (include "voicefleet.tier" . | fromJson) -}}
{{- $at := .at -}}
{{- $agents := dict -}}
{{- range $agentName, $agent := .agents -}}
{{- $settings := merge (pick $agent "tenants" "numbers" "rooms") (include "voicefleet.tier" $agent | fromJson) -}}
{{- with include "voicefleet.trunks" ($agent.trunks | default dict) | fromJson -}}
{{- $_ := set $settings "trunks" . -}}
{{- end -}}
{{- $versions := dict -}}
{{- range $versionName, $version := $agent.versions -}}
{{- $pool := get $pools (printf "%s.agents.%s.versions.%s" $at $agentName $versionName) -}}
{{- /* Another image is another canary, which is tried anew. */ -}}
{{- $image := include "voicefleet.image" (dict "root" $root "image" $pool.worker.image "own" true) -}}
{{- $told := dict "weight" $version.weight "pool" (include "voicefleet.settings" $pool.pool | fromJson) "revision" ($version.revision | default ($image | trunc -128)) -}}
{{- with $version.objectives -}}
{{- $_ := set $told "objectives" (include "voicefleet.settings" . | fromJson) -}}
{{- end -}}
{{- $_ := set $versions $versionName $told -}}
{{- end -}}
{{- if $versions -}}
{{- $_ := set $settings "versions" $versions -}}
{{- else -}}
{{- $_ := set $settings "pool" (include "voicefleet.settings" (get $pools (printf "%s.agents.%s" $at $agentName)).pool | fromJson) -}}
{{- end -}}
{{- $_ := set $agents $agentName $settings -}}
{{- end -}}
{{- with $agents -}}
{{- $_ := set $region "agents" . -}}
{{- end -}}
{{- if .waitingMessage.enabled -}}
{{- $message := include "voicefleet.settings" (pick .waitingMessage "afterSeconds" "everySeconds" "language") | fromJson -}}
{{- if .waitingMessage.audio.existingConfigMap -}}
{{- $_ := set $message "audio" (printf "/etc/voicefleet-waiting/%s/waiting.wav" .name) -}}
{{- with .waitingMessage.text -}}
{{- $_ := set $message "text" . -}}
{{- end -}}
{{- $region := .name -}}
{{- $languages := dict -}}
{{- range $tag, $key := .waitingMessage.audio.languages -}}
{{- $_ := set $languages $tag (dict "audio" (printf "/etc/voicefleet-waiting/%s/%s.wav" $region $tag)) -}}
{{- end -}}
{{- with $languages -}}
{{- $_ := set $message "languages" . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $region "waiting_message" $message -}}
{{- else -}}
{{- $_ := set $region "waiting_message" nil -}}
{{- end -}}
{{- $_ := set $regions .name $region -}}
{{- end -}}
{{- $config := dict
      "redis_url_env" "VOICEFLEET_REDIS_URL"
      "listen" "0.0.0.0:8080"
      "auth" $controller.auth
      "owner" (include "voicefleet.owner" .)
      "limits" (include "voicefleet.settings" $controller.limits | fromJson)
      "call_history" (include "voicefleet.settings" $controller.callHistory | fromJson)
      "tick_s" $controller.tickSeconds
      "listing_s" $controller.listingSeconds
      "waiting_grace_s" $controller.waitingGraceSeconds
      "kubernetes_lease" (merge (dict "namespace" .Release.Namespace "name" (printf "%s-controller" (include "voicefleet.fullname" .))) (include "voicefleet.settings" $controller.lease | fromJson))
      "regions" $regions -}}
{{- $receivers := dict -}}
{{- range $controller.callEvents -}}
{{- $receiver := include "voicefleet.settings" (omit . "name" "existingSecret" "secretKey") | fromJson -}}
{{- $_ := set $receiver "secret_env" (include "voicefleet.callEventsSecretEnv" .name) -}}
{{- $_ := set $receivers .name $receiver -}}
{{- end -}}
{{- with $receivers -}}
{{- $_ := set $config "call_events" . -}}
{{- end -}}
{{- $placement := dict -}}
{{- range $name, $table := $controller.placement -}}
{{- with $table -}}
{{- $_ := set $placement $name . -}}
{{- end -}}
{{- end -}}
{{- with $placement -}}
{{- $_ := set $config "placement" . -}}
{{- end -}}
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

{{/*
Values under the names that settings have, as JSON: startTimeoutSeconds is start_timeout_s. What is null or an empty list
is left out. A value that the settings have too needs no line here.
*/}}
{{- define "voicefleet.settings" -}}
{{- if kindIs "map" . -}}
{{- $fields := list -}}
{{- range $name, $value := . -}}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "slice" $value) (empty $value))) -}}
{{- $fields = append $fields (printf "%q:%s" (regexReplaceAll "_seconds$" (snakecase $name) "_s") (include "voicefleet.settings" $value)) -}}
{{- end -}}
{{- end -}}
{{- printf "{%s}" (join "," $fields) -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- $items = append $items (include "voicefleet.settings" .) -}}
{{- end -}}
{{- printf "[%s]" (join "," $items) -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* Trunks under the names that settings have, as JSON. */}}
{{- define "voicefleet.trunks" -}}
{{- $trunks := dict -}}
{{- range $id, $trunk := . -}}
{{- $settings := omit $trunk "perSecond" -}}
{{- if hasKey $trunk "perSecond" -}}
{{- $_ := set $settings "per_s" $trunk.perSecond -}}
{{- end -}}
{{- $_ := set $trunks $id $settings -}}
{{- end -}}
{{- toJson $trunks -}}
{{- end -}}

{{- define "voicefleet.apiKeysSecret" -}}
{{- .Values.controller.apiKeys.existingSecret | default (printf "%s-api-keys" (include "voicefleet.fullname" .)) -}}
{{- end -}}

{{/* The environment variable with the signing secret of a receiver of call events. Argument: its name. */}}
{{- define "voicefleet.callEventsSecretEnv" -}}
CALL_EVENTS_{{ . | upper | replace "-" "_" }}_SECRET
{{- end -}}

{{/* What a region or an agent says of its calls' tier, under the names that settings have, as JSON. */}}
{{- define "voicefleet.tier" -}}
{{- $told := dict -}}
{{- with .tier -}}
{{- $_ := set $told "tier" . -}}
{{- end -}}
{{- with .tierCanary -}}
{{- $_ := set $told "tier_canary" (include "voicefleet.settings" . | fromJson) -}}
{{- end -}}
{{- $told | toJson -}}
{{- end -}}
