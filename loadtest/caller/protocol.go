package main

import (
	"bufio"
	"encoding/json"
	"io"
)

// order is a line from the orchestrator. Which fields count depends on Do:
//
//	clip  {clip, frames}             keep prepared Opus: one frame of 20 ms each
//	join  {call, url, token, timeout_ms, dtx, background}
//	                                 background: a clip that is sent beneath all else; empty: silence
//	say   {call, clip}               from the next frame on; answered by `said`
//	press {call, keys}               keys of a telephone; answered by `pressed`
//	leave {call}                     answered by `left`
//	stats {}                         answered by `stats`
type order struct {
	Do         string   `json:"do"`
	Call       string   `json:"call"`
	Clip       string   `json:"clip"`
	Frames     [][]byte `json:"frames"`
	URL        string   `json:"url"`
	Token      string   `json:"token"`
	TimeoutMs  int64    `json:"timeout_ms"`
	DTX        bool     `json:"dtx"`
	Background string   `json:"background"`
	Keys       string   `json:"keys"`
}

// event is a line to the orchestrator: joined, join_failed, participant_joined, participant_left, agent_track, onset, offset,
// attributes, said, pressed, reconnecting, reconnected, disconnected, left, stats, wrong (an order that makes no sense).
type event struct {
	Event string `json:"event"`
	Call  string `json:"call,omitempty"`
	// Ns is when it happened, CLOCK_MONOTONIC. Of `said`: when the clip's first sample is spoken.
	Ns         int64             `json:"ns,omitempty"`
	Who        string            `json:"who,omitempty"`
	Agent      bool              `json:"agent,omitempty"`
	Track      string            `json:"track,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Error      string            `json:"error,omitempty"`
	Ear        *earStats         `json:"ear,omitempty"`
	Route      *route            `json:"route,omitempty"`
	Health     *health           `json:"health,omitempty"`
}

// writer sends events in their order, without making whoever reports them wait for the socket.
type writer struct {
	lines chan event
}

func newWriter(to io.Writer) *writer {
	w := &writer{lines: make(chan event, 4096)}
	go func() {
		buffer := bufio.NewWriterSize(to, 1<<16)
		lines := json.NewEncoder(buffer)
		for one := range w.lines {
			_ = lines.Encode(one) // a socket that is closed ends the program elsewhere
			if len(w.lines) == 0 {
				_ = buffer.Flush()
			}
		}
	}()
	return w
}

func (w *writer) send(one event) { w.lines <- one }
