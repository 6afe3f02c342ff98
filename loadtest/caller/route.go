package main

import (
	"strings"
	"time"

	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

const lookEvery = 5 * time.Second

// route is how a call's packets go between the caller and LiveKit. What is not known is empty, or 0.
type route struct {
	// Codec of the agent's voice, as agreed: opus.
	Codec string `json:"codec"`
	// Path is udp, tcp, or turn/udp, turn/tcp, turn/tls; Candidates the types of both ends: host/host, srflx/host, relay/host.
	Path       string `json:"path"`
	Candidates string `json:"candidates"`
	// RTTMs is the mean of ICE's connectivity checks, one every 2 s.
	RTTMs float64 `json:"rtt_ms"`
}

// routeOf reads what ICE knows of the connection that agents' voices come by.
func routeOf(room *lksdk.Room) (route, bool) {
	connection := room.LocalParticipant.GetSubscriberPeerConnection()
	if connection == nil {
		connection = room.LocalParticipant.GetPublisherPeerConnection()
	}
	if connection == nil {
		return route{}, false
	}
	pair, there := connection.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if !there {
		return route{}, false
	}
	var found route
	if pair.ResponsesReceived > 0 {
		found.RTTMs = pair.TotalRoundTripTime / float64(pair.ResponsesReceived) * 1000
	}
	stats := connection.GetStats()
	local, _ := stats[pair.LocalCandidateID].(webrtc.ICECandidateStats)
	remote, _ := stats[pair.RemoteCandidateID].(webrtc.ICECandidateStats)
	if local.ID != "" && remote.ID != "" {
		found.Candidates = local.CandidateType.String() + "/" + remote.CandidateType.String()
		found.Path = local.Protocol
		if local.CandidateType == webrtc.ICECandidateTypeRelay {
			found.Path = "turn/" + local.RelayProtocol
		}
	}
	return found, true
}

// codecName is `opus` of `audio/opus`.
func codecName(mime string) string {
	return strings.ToLower(mime[strings.LastIndexByte(mime, '/')+1:])
}
