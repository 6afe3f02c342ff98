package main

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// hub knows the clips and the calls, and passes orders on.
type hub struct {
	out    *writer
	pacers *pacers
	mu     sync.Mutex
	clips  map[string][][]byte
	calls  map[string]*call
	ending sync.WaitGroup
}

func newHub(out *writer) *hub {
	h := &hub{out: out, pacers: &pacers{}, clips: map[string][][]byte{}, calls: map[string]*call{}}
	go h.look()
	return h
}

// look has every call see how its packets go, again and again: a connection that is closed does not tell any more.
func (h *hub) look() {
	for range time.Tick(lookEvery) {
		h.mu.Lock()
		calls := slices.Collect(maps.Values(h.calls))
		h.mu.Unlock()
		for _, c := range calls {
			c.look()
		}
	}
}

// obey reads orders until the other side is gone.
func (h *hub) obey(from io.Reader) {
	lines := json.NewDecoder(bufio.NewReaderSize(from, 1<<16))
	for {
		var one order
		if err := lines.Decode(&one); err != nil {
			if err != io.EOF {
				h.out.send(event{Event: "wrong", Error: "the orders ended: " + err.Error()})
			}
			return
		}
		h.do(one)
	}
}

func (h *hub) do(one order) {
	switch one.Do {
	case "clip":
		h.mu.Lock()
		h.clips[one.Clip] = one.Frames
		h.mu.Unlock()
	case "join":
		h.mu.Lock()
		_, taken := h.calls[one.Call]
		background := h.clips[one.Background]
		if taken || (one.Background != "" && len(background) == 0) {
			h.mu.Unlock()
			h.out.send(event{Event: "wrong", Call: one.Call, Error: "this call is already there, or its background is not"})
			return
		}
		c := newCall(one.Call, h.out, h.pacers, one.DTX, background)
		h.calls[one.Call] = c
		h.mu.Unlock()
		go c.join(one.URL, one.Token, time.Duration(one.TimeoutMs)*time.Millisecond)
	case "say":
		h.mu.Lock()
		c, frames := h.calls[one.Call], h.clips[one.Clip]
		h.mu.Unlock()
		if c == nil || len(frames) == 0 {
			h.out.send(event{Event: "wrong", Call: one.Call, Error: "no such call or clip: " + one.Clip})
			return
		}
		h.out.send(event{Event: "said", Call: one.Call, Ns: c.mouth.say(frames, nowNs())})
	case "press":
		h.mu.Lock()
		c := h.calls[one.Call]
		h.mu.Unlock()
		if c == nil {
			h.out.send(event{Event: "wrong", Call: one.Call, Error: "no such call"})
			return
		}
		go c.press(one.Keys) // it waits for a connection that is broken at the moment
	case "leave":
		h.mu.Lock()
		c := h.calls[one.Call]
		delete(h.calls, one.Call)
		h.mu.Unlock()
		if c != nil {
			h.ending.Add(1)
			go func() {
				defer h.ending.Done()
				c.leave()
			}()
		}
	case "stats":
		found := h.pacers.health()
		h.mu.Lock()
		found.Calls = len(h.calls)
		h.mu.Unlock()
		h.out.send(event{Event: "stats", Ns: nowNs(), Health: &found})
	default:
		h.out.send(event{Event: "wrong", Call: one.Call, Error: "no such order: " + one.Do})
	}
}

// leaveAll hangs up every call, and waits for that and for the last events, but not for ever.
func (h *hub) leaveAll(limit time.Duration) {
	h.mu.Lock()
	left := h.calls
	h.calls = map[string]*call{}
	h.mu.Unlock()
	over := make(chan struct{})
	for _, c := range left {
		h.ending.Add(1)
		go func() {
			defer h.ending.Done()
			c.leave()
		}()
	}
	go func() {
		h.ending.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(limit):
	}
}
