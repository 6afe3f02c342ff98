{{/*
What a schema cannot say: values that do not fit together. All of it is said at once, each line with the value's path.
*/}}
{{- define "voicefleet.checks" -}}
{{- with include "voicefleet.renamedValues" . | fromJsonArray -}}
{{- fail (printf "\n\nThese values have new names:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- $root := . -}}
{{- $dev := .Values.devStack -}}
{{- $redis := .Values.redis -}}
{{- $controller := .Values.controller -}}
{{- $wrong := list -}}
{{- $ours := list "HOME" "LIVEKIT_AGENT_DEPLOYMENT" "LIVEKIT_URL" "LIVEKIT_API_KEY" "LIVEKIT_API_SECRET" "REDIS_PASSWORD" -}}
{{- range list "REPLICA" "API_KEYS" "WORKER_ID" "REGION" "SLOTS" "AGENT_NAME" "AGENT" "TIERS" "LISTEN" "DRAIN_TIMEOUT_S" "IDLE_PROCESSES" "JOB_MEMORY_LIMIT_MB" "TRANSCRIPT_KEY" "LOG_LEVEL" "LOG_FORMAT" "REDIS_URL" "REDIS_CA_FILE" -}}
{{- $ours = append $ours (printf "VOICEFLEET_%s" .) -}}
{{- end -}}
{{- $names := dict -}}
{{- $namespaces := dict -}}
{{- $places := dict -}}
{{- $regionNames := list -}}
{{- range .Values.regions -}}
{{- $regionNames = append $regionNames .name -}}
{{- end -}}
{{- $agents := dict -}}
{{- $pools := dict -}}
{{- range (include "voicefleet.regions" . | fromJson).all -}}
{{- $at := .at -}}
{{- $item := index $root.Values.regions (int (regexFind "[0-9]+" $at)) -}}
{{- $given := $item.livekit | default dict -}}

{{- with get $names .name -}}
{{- $wrong = append $wrong (printf "%s.name: %q is the name of %s too: give each region its own" $at (get $item "name") .) -}}
{{- end -}}
{{- $_ := set $names .name $at -}}

{{- if gt (len .namespace) 63 -}}
{{- $wrong = append $wrong (printf "%s.namespace: %q is longer than 63 signs: give a shorter one" $at .namespace) -}}
{{- end -}}
{{- if .createNamespace -}}
{{- if eq .namespace $root.Release.Namespace -}}
{{- $wrong = append $wrong (printf "%s.namespace: %q is the release's own and is there already: give another one, or set %s.createNamespace to false" $at .namespace $at) -}}
{{- end -}}
{{- if hasKey $namespaces .namespace -}}
{{- $wrong = append $wrong (printf "%s.namespace: %q is made by %s too: give another one, or set %s.createNamespace to false" $at .namespace (get $namespaces .namespace) $at) -}}
{{- end -}}
{{- $_ := set $namespaces .namespace $at -}}
{{- else -}}
{{- $place := printf "%s %s %s" .cluster.kubeconfigSecret .cluster.context .namespace -}}
{{- with get $places $place -}}
{{- $wrong = append $wrong (printf "%s.namespace: is that of %s too, in the same cluster: give each region its own; several pools of one region are its agents" $at .) -}}
{{- end -}}
{{- $_ := set $places $place $at -}}
{{- end -}}
{{- range $number, $target := .spillTo -}}
{{- if not (has $target $regionNames) -}}
{{- $wrong = append $wrong (printf "%s.spillTo[%d]: %q is none of the regions: %s" $at $number $target (join ", " $regionNames)) -}}
{{- end -}}
{{- end -}}

{{- if and .agents .trunks -}}
{{- $wrong = append $wrong (printf "%s: trunks are set, and %s.agents too, and a trunk is one agent's: move each under its agent" $at $at) -}}
{{- end -}}
{{- if and .defaultAgent (not (hasKey .agents .defaultAgent)) -}}
{{- $wrong = append $wrong (printf "%s.defaultAgent: %q is none of %s.agents: name one of them" $at .defaultAgent $at) -}}
{{- end -}}
{{- range $name, $agent := .agents -}}
{{- if kindIs "map" $agent.tier -}}
{{- range $versionName, $version := $agent.versions -}}
{{- if and $version.objectives $version.weight (not (has 100 (values $agent.tier))) -}}
{{- $wrong = append $wrong (printf "%s.agents.%s.tier: two tiers are tried while its version %s is a canary: try one thing at a time" $at $name $versionName) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "voicefleet.versionChecks" (dict "at" (printf "%s.agents.%s" $at $name) "versions" ($agent.versions | default dict)) | fromJsonArray) -}}
{{- end -}}

{{- with .waitingMessage -}}
{{- if and .enabled (not .audio.existingConfigMap) -}}
{{- if .text -}}
{{- $wrong = append $wrong (printf "%s: waitingMessage.text is set, but there is no recording of it: give waitingMessage.audio.existingConfigMap" $at) -}}
{{- end -}}
{{- if .audio.languages -}}
{{- $wrong = append $wrong (printf "%s: waitingMessage.audio.languages is set, but there are no recordings: give waitingMessage.audio.existingConfigMap" $at) -}}
{{- end -}}
{{- $seconds := get (dict "es" 7.1 "de" 7.1 "fr" 5.7) (.language | lower | splitList "-" | first) | default 4.3 -}}
{{- if lt (float64 .everySeconds) (addf $seconds 2) -}}
{{- $wrong = append $wrong (printf "%s: waitingMessage.everySeconds (%v) is too short for the built-in recording (%v s, and 2 s between two): give at least %v" $at .everySeconds $seconds (addf $seconds 2)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and .cluster.kubeconfigSecret (not $controller.enabled) -}}
{{- $wrong = append $wrong (printf "%s.cluster.kubeconfigSecret: nobody reads it, since controller.enabled is false: leave it out, the pool is then made in this cluster" $at) -}}
{{- end -}}
{{- if $dev.enabled -}}
{{- if .cluster.kubeconfigSecret -}}
{{- $wrong = append $wrong (printf "%s.cluster.kubeconfigSecret: the servers of devStack cannot be reached from another cluster: leave one of them out" $at) -}}
{{- end -}}
{{- if ($given.url | default $root.Values.livekit.url) -}}
{{- $wrong = append $wrong (printf "%s: livekit.url is set, but devStack.enabled brings a LiveKit of its own: leave one of them out" $at) -}}
{{- end -}}
{{- if ne (not $dev.livekit.existingSecret) (not ($given.existingSecret | default $root.Values.livekit.existingSecret)) -}}
{{- $wrong = append $wrong (printf "%s: with devStack, livekit.existingSecret and devStack.livekit.existingSecret belong together (the clients' key, and the server's keys): give both or neither" $at) -}}
{{- end -}}
{{- else -}}
{{- if not .livekit.url -}}
{{- $wrong = append $wrong (printf "%s.livekit.url: is empty: give LiveKit's address (wss://HOST), or try the chart with --set devStack.enabled=true" $at) -}}
{{- end -}}
{{- if not .livekit.existingSecret -}}
{{- $wrong = append $wrong (printf "%s: livekit.existingSecret is empty: name the Secret with LiveKit's key and secret (it must be in %s and in %s)" $at $root.Release.Namespace .namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- range (include "voicefleet.regions" . | fromJson).pools -}}
{{- $at := .at -}}
{{- if and (hasKey $pools .name) (or .agents (contains ".agents." (get $pools .name))) -}}
{{- $wrong = append $wrong (printf "%s: its pool has the name %q, as that of %s: rename the agent, the version or the region" $at .name (get $pools .name)) -}}
{{- end -}}
{{- $_ := set $pools .name $at -}}
{{- if gt (len .name) 32 -}}
{{- $wrong = append $wrong (printf "%s: the name of its pool (%q) is longer than 32 signs: shorten the name of the agent, the version or the region" $at .name) -}}
{{- end -}}
{{- if gt (int .pool.minWorkers) (int .pool.maxWorkers) -}}
{{- $wrong = append $wrong (printf "%s: pool.minWorkers (%d) is more than pool.maxWorkers (%d): lower it, or raise pool.maxWorkers" $at (int .pool.minWorkers) (int .pool.maxWorkers)) -}}
{{- end -}}
{{- if ne (kindIs "invalid" .pool.pricePerWorkerHour) (kindIs "invalid" .pool.currency) -}}
{{- $wrong = append $wrong (printf "%s: pool.pricePerWorkerHour and pool.currency belong together: give both, such as 0.40 and EUR, or neither" $at) -}}
{{- end -}}
{{- $fixed := kindIs "invalid" .pool.fixedWorkers | not -}}
{{- if ne $fixed (eq .pool.mode "fixed") -}}
{{- $wrong = append $wrong (printf "%s: pool.fixedWorkers belongs to pool.mode fixed, and pool.mode is %s: give both, or neither" $at .pool.mode) -}}
{{- end -}}
{{- if and $fixed (or (lt (int .pool.fixedWorkers) (int .pool.minWorkers)) (gt (int .pool.fixedWorkers) (int .pool.maxWorkers))) -}}
{{- $wrong = append $wrong (printf "%s: pool.fixedWorkers (%d) is not between pool.minWorkers (%d) and pool.maxWorkers (%d): move it between them, or widen them" $at (int .pool.fixedWorkers) (int .pool.minWorkers) (int .pool.maxWorkers)) -}}
{{- end -}}
{{- $wrong = concat $wrong (include "voicefleet.tierChecks" . | fromJsonArray) -}}
{{- $needed := int (add (int .worker.drainTimeoutSeconds) 400) -}}
{{- if lt (int .worker.terminationGracePeriodSeconds) $needed -}}
{{- $wrong = append $wrong (printf "%s: worker.terminationGracePeriodSeconds (%d) is less than worker.drainTimeoutSeconds (%d) + 400, so Kubernetes would kill workers in their calls: give at least %d, leave it empty, or lower worker.drainTimeoutSeconds" $at (int .worker.terminationGracePeriodSeconds) (int .worker.drainTimeoutSeconds) $needed) -}}
{{- end -}}

{{- $wrong = concat $wrong (include "voicefleet.resourceChecks" (dict "root" $root "pool" .) | fromJson).limits -}}
{{- $needs := include "voicefleet.workerNeeds" (dict "root" $root "pool" .) | fromJson -}}
{{- $limit := int .worker.jobMemoryLimitMiB -}}
{{- if and $limit (lt $limit (int $needs.job)) -}}
{{- $wrong = append $wrong (printf "%s: worker.jobMemoryLimitMiB (%d) is less than the %d MiB that a job process has by itself, so no call would live: give at least three times that, or 0" $at $limit (int $needs.job)) -}}
{{- end -}}
{{- $wrong = concat $wrong (include "voicefleet.containerChecks" (dict "at" (printf "%s: worker" $at) "own" "worker" "part" .worker) | fromJsonArray) -}}

{{- range .worker.extraEnv -}}
{{- if has .name $ours -}}
{{- $wrong = append $wrong (printf "%s: worker.extraEnv: %s is set by the chart already: use the value that is meant for it" $at .name) -}}
{{- end -}}
{{- end -}}

{{- $agent := .worker.agent -}}
{{- with .worker.tiers -}}
{{- $set := compact (list (ternary "worker.tiers.builtin" "" (not (empty .builtin))) (ternary "worker.tiers.content" "" (not (empty .content))) (ternary "worker.tiers.existingConfigMap" "" (not (empty .existingConfigMap)))) -}}
{{- if not (or $set $agent) -}}
{{- $wrong = append $wrong (printf "%s: worker.tiers says nothing of speech and language: give worker.tiers.content, or worker.tiers.builtin, or a worker.agent that brings its own" $at) -}}
{{- end -}}
{{- if gt (len $set) 1 -}}
{{- $wrong = append $wrong (printf "%s: %s are set at once: keep one" $at (join " and " $set)) -}}
{{- end -}}
{{- if .content -}}
{{- if not (hasKey (get .content "tiers" | default dict) (get .content "default" | default "" | toString)) -}}
{{- $wrong = append $wrong (printf "%s: worker.tiers.content.default (%q) is none of worker.tiers.content.tiers: name one of them" $at (get .content "default" | default "" | toString)) -}}
{{- end -}}
{{- range $tier, $settings := get .content "tiers" | default dict -}}
{{- range $stage := list "stt" "llm" "tts" -}}
{{- $provider := get ($settings | default dict) $stage -}}
{{- if and $provider (not (get $provider "plugin")) -}}
{{- $wrong = append $wrong (printf "%s: worker.tiers.content.tiers.%s.%s.plugin: is missing: give dotted.module:Class" $at $tier $stage) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $agent := printf "%s %s %s" .livekit.url .livekit.deployment .agentName -}}
{{- with get $agents $agent -}}
{{- $wrong = append $wrong (printf "%s.agentName: the same as that of %s, at the same LiveKit, which would send the calls of one region to the other: give each its own agentName, or its own livekit.deployment" $at .) -}}
{{- end -}}
{{- $_ := set $agents $agent $at -}}
{{- end -}}

{{- if $dev.enabled -}}
{{- if not $controller.enabled -}}
{{- $wrong = append $wrong "devStack.enabled: is true, but controller.enabled is false: the trial needs its controller" -}}
{{- end -}}
{{- if or $redis.existingSecret $redis.hosts -}}
{{- $wrong = append $wrong "redis: redis.existingSecret or redis.hosts is set, but devStack.enabled brings a Redis of its own: leave one of them out" -}}
{{- end -}}
{{- if hasKey $dev.livekit.config "keys" -}}
{{- $wrong = append $wrong "devStack.livekit.config.keys: secrets do not belong into a ConfigMap: use devStack.livekit.existingSecret" -}}
{{- end -}}
{{- else -}}
{{- if and (not $redis.existingSecret) (not $redis.hosts) -}}
{{- $wrong = append $wrong "redis.existingSecret: is empty: name the Secret with Redis' address, or give redis.hosts, or try the chart with --set devStack.enabled=true" -}}
{{- end -}}
{{- if and $redis.existingSecret $redis.hosts -}}
{{- $wrong = append $wrong "redis.hosts: the address stands in redis.existingSecret already: keep one of the two" -}}
{{- end -}}
{{- if and $controller.enabled (eq $controller.auth "bearer") (not $controller.apiKeys.existingSecret) -}}
{{- $wrong = append $wrong "controller.apiKeys.existingSecret: is empty, and controller.auth is bearer: name the Secret with the API keys, or set controller.auth to none (open to everyone who reaches the Service)" -}}
{{- end -}}
{{- end -}}
{{- if $redis.hosts -}}
{{- if and (gt (len $redis.hosts) 1) (not $redis.sentinelMaster) -}}
{{- $wrong = append $wrong "redis.sentinelMaster: is empty, and redis.hosts has several: name the master that these Sentinels watch, or give one host" -}}
{{- end -}}
{{- if and $redis.username (not $redis.passwordSecret) -}}
{{- $wrong = append $wrong "redis.passwordSecret: is empty, and redis.username is set: name the Secret with that user's password" -}}
{{- end -}}
{{- if and $redis.caSecret (not $redis.tls) -}}
{{- $wrong = append $wrong "redis.tls: is false, and redis.caSecret is set: set redis.tls to true, or leave redis.caSecret out" -}}
{{- end -}}
{{- end -}}
{{- if and $controller.enabled (eq $controller.auth "bearer") $controller.apiKeys.hashed (not $controller.apiKeys.existingSecret) -}}
{{- $wrong = append $wrong "controller.apiKeys.hashed: is true, and controller.apiKeys.existingSecret is empty: name the Secret with the hashed keys" -}}
{{- end -}}
{{- if and (eq $controller.auth "none") $controller.apiKeys.existingSecret -}}
{{- $wrong = append $wrong "controller.auth: is none, and controller.apiKeys.existingSecret is set: set controller.auth to bearer, or leave the Secret out" -}}
{{- end -}}
{{- with $controller.lease -}}
{{- if ge (float64 .retrySeconds) (float64 .renewDeadlineSeconds) -}}
{{- $wrong = append $wrong (printf "controller.lease.retrySeconds: %v is not less than controller.lease.renewDeadlineSeconds (%v): lower it" .retrySeconds .renewDeadlineSeconds) -}}
{{- end -}}
{{- if ge (float64 .renewDeadlineSeconds) (float64 .durationSeconds) -}}
{{- $wrong = append $wrong (printf "controller.lease.renewDeadlineSeconds: %v is not less than controller.lease.durationSeconds (%v): lower it" .renewDeadlineSeconds .durationSeconds) -}}
{{- end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "voicefleet.containerChecks" (dict "at" "controller" "own" "controller" "part" $controller) | fromJsonArray) -}}
{{- range $controller.extraEnv -}}
{{- if has .name $ours -}}
{{- $wrong = append $wrong (printf "controller.extraEnv: %s is set by the chart already: use the value that is meant for it" .name) -}}
{{- end -}}
{{- end -}}
{{- if and $controller.ingress.enabled (not $controller.ingress.host) -}}
{{- $wrong = append $wrong "controller.ingress.host: is empty, and controller.ingress.enabled is true: give the host name" -}}
{{- end -}}
{{- if and $controller.ingress.enabled (not $controller.ingress.tlsSecret) (not $controller.ingress.tlsElsewhere) -}}
{{- $wrong = append $wrong "controller.ingress.tlsSecret: is empty, and controller.ingress.enabled is true, so keys and tickets would travel in the clear: name the Secret with the certificate, or set controller.ingress.tlsElsewhere to true if TLS ends before the Ingress" -}}
{{- end -}}
{{- if and $controller.ingress.enabled (eq $controller.auth "none") -}}
{{- $wrong = append $wrong "controller.auth: is none, and controller.ingress.enabled is true, so everyone could place calls: set controller.auth to bearer" -}}
{{- end -}}
{{- $wrong = concat $wrong (include "voicefleet.networkChecks" . | fromJsonArray) -}}

{{- if $wrong -}}
{{- fail (printf "\n\nThese values cannot be used:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* Containers of the user's by a name that is taken, as JSON. Arguments: at, own (our container's name), part. */}}
{{- define "voicefleet.containerChecks" -}}
{{- $at := .at -}}
{{- $taken := dict .own true "wait-for-servers" true -}}
{{- $wrong := list -}}
{{- range $field := list "extraInitContainers" "extraContainers" -}}
{{- range get $.part $field | default list -}}
{{- if hasKey $taken .name -}}
{{- $wrong = append $wrong (printf "%s.%s: %q is the name of another container of the pod: give it its own" $at $field .name) -}}
{{- end -}}
{{- $_ := set $taken .name true -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{/* What the versions of an agent must agree on, as JSON. Arguments: at, versions. */}}
{{- define "voicefleet.versionChecks" -}}
{{- $at := .at -}}
{{- $wrong := list -}}
{{- $total := 0 -}}
{{- $stable := list -}}
{{- $canaries := list -}}
{{- range $name, $version := .versions -}}
{{- $total = add $total (int $version.weight) -}}
{{- if $version.weight -}}
{{- if $version.objectives -}}
{{- $canaries = append $canaries $name -}}
{{- else -}}
{{- $stable = append $stable $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .versions (ne (int $total) 100) -}}
{{- $wrong = append $wrong (printf "%s.versions: the weights add up to %d, not 100: give each version its share of the new calls, percent" $at (int $total)) -}}
{{- end -}}
{{- if gt (len $stable) 1 -}}
{{- $wrong = append $wrong (printf "%s.versions: %s have no objectives: a canary needs them, and one version is none; give weight 0 to those that get no new calls" $at (join " and " $stable)) -}}
{{- end -}}
{{- if and $canaries (not $stable) (gt (len $canaries) 1) -}}
{{- $wrong = append $wrong (printf "%s.versions: %s are all canaries: take the objectives from the stable one" $at (join " and " $canaries)) -}}
{{- else if gt (len $canaries) 1 -}}
{{- $wrong = append $wrong (printf "%s.versions: %s are canaries at once: give all but one weight 0" $at (join " and " $canaries)) -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}

{{/* What is wrong with the tier of a pool's calls, as JSON. Which tiers a ConfigMap or an agent of its own has is not known here. */}}
{{- define "voicefleet.tierChecks" -}}
{{- $at := .at -}}
{{- $wrong := list -}}
{{- $there := keys (get (.worker.tiers.content | default dict) "tiers" | default dict) | default (compact (list .worker.tiers.builtin)) | sortAlpha -}}
{{- $tried := (.tierCanary | default dict).tried -}}
{{- $named := compact (list $tried) -}}
{{- if kindIs "map" .tier -}}
{{- $named = concat $named (keys .tier) | uniq | sortAlpha -}}
{{- $total := 0 -}}
{{- $shares := list -}}
{{- range $name, $share := .tier -}}
{{- $total = add $total (int $share) -}}
{{- if $share -}}
{{- $shares = append $shares (int $share) -}}
{{- end -}}
{{- end -}}
{{- if ne (int $total) 100 -}}
{{- $wrong = append $wrong (printf "%s.tier: the shares add up to %d, not 100: give each tier its share of the calls, percent" $at (int $total)) -}}
{{- else if gt (len $shares) 2 -}}
{{- $wrong = append $wrong (printf "%s.tier: more than one canary at a time: try one tier beside the one that has proved itself, then the next" $at) -}}
{{- else if and (eq (len $shares) 2) (eq (first $shares) 50) (not $tried) -}}
{{- $wrong = append $wrong (printf "%s.tier: both have the same share, and nobody says which one is tried: name it in %s.tierCanary.tried" $at $at) -}}
{{- else if and $tried (eq (len $shares) 2) (not (get .tier $tried)) -}}
{{- $wrong = append $wrong (printf "%s.tierCanary.tried: %q is none of the two tiers: name one of them" $at $tried) -}}
{{- end -}}
{{- else if .tier -}}
{{- $named = concat $named (list .tier) | uniq -}}
{{- end -}}
{{- range $named -}}
{{- if and $there (not (has . $there)) -}}
{{- $wrong = append $wrong (printf "%s: tier: no worker has the tier %q; its worker.tiers has %s: name one of them, or add it" $at . (join ", " $there)) -}}
{{- end -}}
{{- end -}}
{{- $wrong | toJson -}}
{{- end -}}
