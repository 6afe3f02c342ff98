package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/pion/rtp"
)

// spoken is a clip of the callers, as it ships: the agent of these tests says it.
func spoken(t *testing.T) [][]byte {
	t.Helper()
	text, err := os.ReadFile("../voicefleet/speech/audio/opus.json")
	if err != nil {
		t.Fatal(err)
	}
	var clips map[string][][]byte
	if err := json.Unmarshal(text, &clips); err != nil {
		t.Fatal(err)
	}
	var first string
	for name := range clips {
		if first == "" || name < first {
			first = name
		}
	}
	return clips[first]
}

// line is an agent's track: it numbers packets, and loses those that it is told to.
type line struct {
	ear    *ear
	packet rtp.Packet
	now    int64
}

func newLine(t *testing.T, h *heard) *line {
	t.Helper()
	e, err := newEar(
		func(ns int64) { h.began = append(h.began, ns) }, func(ns int64) { h.ended = append(h.ended, ns) })
	if err != nil {
		t.Fatal(err)
	}
	l := &line{ear: e}
	// Both wrap around on the way.
	l.packet.SequenceNumber, l.packet.Timestamp = 65_530, 1<<32-2000
	return l
}

func (l *line) send(payload []byte, arrives bool) {
	l.packet.Payload = payload
	if arrives {
		l.ear.packet(&l.packet, l.now)
	}
	l.packet.SequenceNumber++
	l.pass()
}

func (l *line) pass() {
	l.packet.Timestamp += samplesPerFrame
	l.now += frameNs
	l.ear.idle(l.now)
}

func onsetOf(t *testing.T) int64 {
	var h heard
	l := newLine(t, &h)
	for _, frame := range spoken(t) {
		l.send(frame, true)
	}
	if len(h.began) == 0 {
		t.Fatal("the clip was not heard")
	}
	return h.began[0]
}

func TestAnOnsetIsTimedByItsPacketsArrival(t *testing.T) {
	alone := onsetOf(t)
	var h heard
	l := newLine(t, &h)
	for range 50 {
		l.send(silence, true)
	}
	began := l.now
	for _, frame := range spoken(t) {
		l.send(frame, true)
	}
	l.ear.close()
	if off := h.began[0] - began - alone; off > 5*ms || off < -5*ms {
		t.Errorf("off by %d ms", off/ms)
	}
}

// Without the filling of gaps a lost frame moved every onset after it.
func TestLossDoesNotMoveAnOnset(t *testing.T) {
	alone := onsetOf(t)
	var h heard
	l := newLine(t, &h)
	for i := range 500 {
		l.send(silence, i%7 != 0)
	}
	began := l.now
	for _, frame := range spoken(t) {
		l.send(frame, true)
	}
	stats := l.ear.close()
	if off := h.began[0] - began - alone; off > 5*ms || off < -5*ms {
		t.Errorf("off by %d ms", off/ms)
	}
	if want := int64(500/7 + 1 - 1); stats.Lost != want { // nobody knows of a loss before the first packet
		t.Errorf("lost %d, wanted %d", stats.Lost, want)
	}
}

func TestAVoiceAtFivePercentLossIsOneVoiceThatEndsOnce(t *testing.T) {
	var h heard
	l := newLine(t, &h)
	frames := spoken(t)
	for i, frame := range frames {
		l.send(frame, i%20 != 10)
	}
	for range 30 {
		l.send(silence, true)
	}
	if len(h.began) == 0 || len(h.began) != len(h.ended) {
		t.Fatalf("began %v, ended %v", h.began, h.ended)
	}
}

// With DTX nothing comes in a pause: the voice must end all the same, and the next one be heard where it begins.
func TestPausesThatAreNotSent(t *testing.T) {
	alone := onsetOf(t)
	var h heard
	l := newLine(t, &h)
	for _, frame := range spoken(t) {
		l.send(frame, true)
	}
	l.send(dtxFrame, true)
	for range 50 {
		l.pass()
	}
	voices := len(h.ended)
	if voices == 0 || voices != len(h.began) {
		t.Fatalf("began %d, ended %d", len(h.began), voices)
	}
	began := l.now
	for _, frame := range spoken(t) {
		l.send(frame, true)
	}
	if len(h.began) <= voices {
		t.Fatal("the second voice was not heard")
	}
	if off := h.began[voices] - began - alone; off > 5*ms || off < -5*ms {
		t.Errorf("off by %d ms", off/ms)
	}
	if stats := l.ear.close(); stats.Lost != 0 || stats.Gaps != 0 {
		t.Errorf("a pause was taken for loss: %+v", stats)
	}
}

func TestWhatComesTooLateIsNotHeardAgain(t *testing.T) {
	var h heard
	l := newLine(t, &h)
	for range 3 {
		l.send(silence, true)
	}
	l.packet.SequenceNumber -= 2
	l.send(silence, true)
	if stats := l.ear.close(); stats.Late != 1 || stats.Packets != 3 {
		t.Errorf("%+v", stats)
	}
}

func TestTheLengthOfAPacket(t *testing.T) {
	for _, one := range []struct {
		payload []byte
		ms      int64
	}{
		{[]byte{0xf8}, 20}, {[]byte{0x08}, 20}, {[]byte{0x18}, 60}, {[]byte{0xf9}, 40}, {[]byte{0xfb, 3}, 60},
		{[]byte{0x60}, 10}, {[]byte{0x68}, 20}, {[]byte{0x80}, 2}, {[]byte{0xfb, 0x3f}, 120}, {[]byte{0xfb}, 20},
	} {
		if got := packetMs(one.payload); got != one.ms {
			t.Errorf("%x: %d ms, wanted %d", one.payload, got, one.ms)
		}
	}
}
