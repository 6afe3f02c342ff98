"""Values that people install the chart with, from the shortest to one that sets nearly everything."""

from __future__ import annotations

from typing import Any

TRIAL: dict[str, Any] = {"devStack": {"enabled": True}}

PRODUCTION: dict[str, Any] = {
    "regions": [
        {"name": "eu", "livekit": {"url": "wss://eu.livekit.example", "existingSecret": "livekit-eu"}},
        {
            "name": "us-east",
            "livekit": {"url": "wss://us.livekit.example", "existingSecret": "livekit-us"},
            "pool": {"minWorkers": 3, "maxWorkers": 300},
            "worker": {"nodeSelector": {"topology.kubernetes.io/region": "us-east-1"}},
        },
    ],
    "pool": {"slots": 10},
    "worker": {"tiers": {"builtin": "local"}},
    "redis": {"existingSecret": "redis"},
    "controller": {"apiKeys": {"existingSecret": "api-keys"}},
}

TIERS: dict[str, Any] = {
    "pipeline": "acme",
    "default": "fast",
    "tiers": {
        "fast": {
            "stt": {"plugin": "livekit.plugins.deepgram:STT", "args": {"api_key": {"env": "DEEPGRAM_API_KEY"}}},
            "llm": {"plugin": "livekit.plugins.openai:LLM"},
            "tts": {"plugin": "livekit.plugins.cartesia:TTS"},
        }
    },
}

_FROM_SECRET = {"name": "DEEPGRAM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "providers", "key": "deepgram"}}}
_TOLERATION = {"key": "voice", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}
_PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
_ON_AMD64: dict[str, Any] = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}
            ]
        }
    }
}

EVERYTHING: dict[str, Any] = {
    "regions": [
        {
            "name": "eu",
            "namespace": "pool-eu",
            "agentName": "front-desk",
            "rooms": "support-*",
            "trunks": {
                "ST_abc": {"concurrent": 5, "perSecond": 0.5, "prefixes": ["+49"], "keys": {"sales": []}},
                "ST_d": {},
            },
            "handoff": False,
            "livekit": {"url": "wss://eu.livekit.example", "apiUrl": "https://eu.livekit.example"},
            "worker": {"drainTimeoutSeconds": 600, "terminationGracePeriodSeconds": 1000, "keepNodes": False},
            "waitingMessage": {"enabled": False},
        },
        {"name": "us", "livekit": {"url": "ws://us.livekit.example:7880", "existingSecret": "livekit-us"}},
    ],
    "namespaceLabels": {"team": "voice", "pod-security.kubernetes.io/enforce": "restricted"},
    "livekit": {"existingSecret": "livekit", "apiKeyKey": "key", "apiSecretKey": "secret"},
    "pool": {
        **{"minWorkers": 2, "maxWorkers": 50, "slots": 6, "buffer": 12, "scaleDownDelaySeconds": 450.5},
        "startTimeoutSeconds": 90,
    },
    "waitingMessage": {
        **{"afterSeconds": 2, "everySeconds": 8, "text": "One moment.", "language": "en-GB"},
        "audio": {"existingConfigMap": "waiting", "key": "one-moment.wav", "languages": {"pl": "chwileczke.wav"}},
    },
    "worker": {
        "image": {"repository": "example/my-agent", "digest": "sha256:" + "a" * 64},
        "agent": "my_pkg.my_agent:create",
        "tiers": {"content": TIERS},
        "drainTimeoutSeconds": 1800,
        "idleProcesses": 3,
        "jobMemoryLimitMiB": 800,
        "transcriptKey": {"existingSecret": "transcript", "key": "fernet"},
        "logLevel": "DEBUG",
        "extraEnv": [_FROM_SECRET, {"name": "LANG", "value": "C.UTF-8"}],
        "extraEnvFrom": [{"configMapRef": {"name": "shared"}}],
        "extraVolumes": [{"name": "answers", "configMap": {"name": "answers"}}],
        "extraVolumeMounts": [{"name": "answers", "mountPath": "/etc/answers", "readOnly": True}],
        "resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "6Gi"}},
        "maxSurge": "25%",
        "revisionHistoryLimit": 3,
        "podLabels": {"team": "voice"},
        "podAnnotations": {"example.com/note": "x"},
        "serviceAccountAnnotations": {"example.com/role": "y"},
        "nodeSelector": {"pool": "voice"},
        "tolerations": [_TOLERATION],
        "affinity": _ON_AMD64,
        "priorityClassName": "system-cluster-critical",
        "runtimeClassName": "runc",
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    },
    "image": {"tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "controller": {
        "image": {"repository": "example/controller", "tag": "1.2.4"},
        "replicas": 3,
        "apiKeys": {"existingSecret": "api-keys", "keysKey": "all", "hashed": True, "callerKey": "test"},
        "callEvents": [
            {
                "name": "my-crm",
                "url": "https://crm.example.com:8443/hooks",
                "existingSecret": "crm-hooks",
                "secretKey": "signing",
                "events": ["call.ended"],
                "timeoutSeconds": 5,
                "atOnce": 4,
                "giveUpAfterSeconds": 3600,
            },
            {"name": "bill", "url": "http://bill.example.com/x", "existingSecret": "bill-hooks"},
        ],
        "trustedProxies": ["10.0.0.0/8"],
        "limits": {"requestsPerMinute": 60, "concurrentCalls": 2_000_000, "maxCallDurationSeconds": 0},
        "tickSeconds": 1.5,
        "listingSeconds": 1,
        "waitingGraceSeconds": 0.5,
        "lease": {"durationSeconds": 9, "renewDeadlineSeconds": 6, "retrySeconds": 1.5},
        "logLevel": "DEBUG",
        "extraEnv": [{"name": "LANG", "value": "C.UTF-8"}],
        "resources": {"requests": {"cpu": "1"}},
        "service": {"type": "LoadBalancer", "port": 80, "annotations": {"example.com/lb": "internal"}},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"example.com/x": "y"},
            "host": "voice.example.com",
            "tlsSecret": "voice-tls",
            "paths": ["/v1"],
        },
        "podLabels": {"team": "voice"},
        "podAnnotations": {"example.com/note": "x"},
        "serviceAccountAnnotations": {"example.com/role": "z"},
        "nodeSelector": {"pool": "control"},
        "tolerations": [_TOLERATION],
        "affinity": _ON_AMD64,
        "priorityClassName": "system-cluster-critical",
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    },
    "redis": {
        **{"hosts": ["s1.example:26379", "s2.example:26379"], "sentinelMaster": "main", "database": 3, "tls": True},
        **{"username": "voice", "passwordSecret": "redis-password", "caSecret": "redis-ca"},
    },
    "secretsRevision": "2026-11",
    "podMonitor": {
        **{"enabled": True, "additionalLabels": {"release": "prometheus"}, "interval": "30s"},
        "relabelings": [{"targetLabel": "cluster", "replacement": "one"}],
    },
    "serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}},
    "networkPolicy": {
        **{"controllerFrom": [_PEER], "workersFrom": [_PEER]},
        "workersEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    },
    "test": {"turns": 2, "deadlineSeconds": 60, "image": {"tag": "1.2.5"}},
    "loadtest": {
        "resources": {"requests": {"cpu": "4", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        "ttlSeconds": 60,
        "extraEnv": [{"name": "LIVEKIT_API_KEY", "valueFrom": {"secretKeyRef": {"name": "livekit", "key": "key"}}}],
        "extraEnvFrom": [{"secretRef": {"name": "staging"}}],
        "extraVolumes": [{"name": "recordings", "configMap": {"name": "recordings"}}],
        "extraVolumeMounts": [{"name": "recordings", "mountPath": "/recordings", "readOnly": True}],
        "podLabels": {"team": "voice"},
        "podAnnotations": {"example.com/note": "x"},
        "nodeSelector": {"pool": "loadtest"},
        "tolerations": [_TOLERATION],
        "affinity": _ON_AMD64,
        "priorityClassName": "system-cluster-critical",
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        ],
    },
    "fullnameOverride": "fleet",
    "global": {"anything": 1},
}

MATRIX: dict[str, dict[str, Any]] = {
    "trial": TRIAL,
    "trial, two regions": {**TRIAL, "regions": [{"name": "eu"}, {"name": "us"}]},
    "trial, keys of one's own": {
        "devStack": {"enabled": True, "livekit": {"existingSecret": "server-keys", "config": {"room": {}}}},
        "livekit": {"existingSecret": "client-key"},
    },
    "trial, open": {**TRIAL, "controller": {"auth": "none"}},
    "production": PRODUCTION,
    "production, Redis by its parts": {
        **PRODUCTION,
        "redis": {"hosts": ["redis.example:6380"], "tls": True, "passwordSecret": "redis", "caSecret": "redis-ca"},
    },
    "everything": EVERYTHING,
    "namespaces of one's own, no policies": {
        **PRODUCTION,
        "createNamespace": False,
        "networkPolicy": {"enabled": False},
        "test": {"enabled": False},
        "waitingMessage": {"enabled": False},
    },
    "a pool in another cluster": {
        **PRODUCTION,
        "regions": [
            PRODUCTION["regions"][0],
            {**PRODUCTION["regions"][1], "cluster": {"kubeconfigSecret": "us-cluster", "context": "us"}},
        ],
    },
    "the pool there": {
        **PRODUCTION,
        "regions": [PRODUCTION["regions"][1]],
        "controller": {"enabled": False},
    },
}
"""Name -> values."""

MONITORS = tuple(f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule"))
"""Kinds that a cluster with the Prometheus operator knows."""
