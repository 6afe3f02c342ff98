package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// heard keeps what a detector reports.
type heard struct{ began, ended []int64 }

func (h *heard) detector() *onsetDetector {
	return &onsetDetector{
		began: func(ns int64) { h.began = append(h.began, ns) },
		ended: func(ns int64) { h.ended = append(h.ended, ns) },
	}
}

func tone(milliseconds int, level float64) []float32 {
	pcm := make([]float32, milliseconds*earRate/1000)
	for i := range pcm {
		pcm[i] = float32(level * math.Cos(2*math.Pi*300*float64(i)/earRate))
	}
	return pcm
}

func noise(milliseconds int, dbfs float64) []float32 {
	source := rand.New(rand.NewPCG(1, 2))
	pcm := make([]float32, milliseconds*earRate/1000)
	for i := range pcm {
		pcm[i] = float32(source.NormFloat64() * math.Pow(10, dbfs/20))
	}
	return pcm
}

func near(t *testing.T, what string, got []int64, wantedMs ...float64) {
	t.Helper()
	if len(got) != len(wantedMs) {
		t.Fatalf("%s: %v, wanted %v ms", what, got, wantedMs)
	}
	for i, ns := range got {
		if off := float64(ns)/float64(ms) - wantedMs[i]; math.Abs(off) > 5 {
			t.Errorf("%s %d: off by %.1f ms", what, i, off)
		}
	}
}

func TestAVoiceBeginsAndEndsWhereItDoes(t *testing.T) {
	var h heard
	d := h.detector()
	pcm := slices.Concat(make([]float32, earRate/2), tone(400, 0.1), make([]float32, earRate/2))
	d.feed(pcm, 0)
	near(t, "onset", h.began, 500)
	near(t, "offset", h.ended, 900)
}

func TestComfortNoiseAndClicksAreNoVoice(t *testing.T) {
	var h heard
	d := h.detector()
	d.feed(noise(3000, -56), 0)
	for range 20 {
		d.feed(slices.Concat(tone(20, 0.5), make([]float32, earRate/10)), 0)
	}
	near(t, "onset", h.began)
}

func TestAClickBeforeALostPacketIsNoVoice(t *testing.T) {
	var h heard
	d := h.detector()
	d.feed(tone(20, 0.5), 0)
	d.lost(earRate / 10)
	d.feed(make([]float32, earRate/10), 120*ms)
	near(t, "onset", h.began)
}

func TestALostPacketInsideAVoiceIsNoEnd(t *testing.T) {
	var h heard
	d := h.detector()
	d.feed(tone(200, 0.1), 0)
	d.lost(earRate / 10)
	d.feed(slices.Concat(tone(100, 0.1), make([]float32, earRate/2)), 300*ms)
	near(t, "onset", h.began, 0)
	near(t, "offset", h.ended, 400)
}

func TestAVoiceEndsThoughNobodySendsItsSilence(t *testing.T) {
	var h heard
	d := h.detector()
	d.feed(tone(200, 0.1), 0)
	d.quiet(hangover - hop)
	near(t, "offset", h.ended)
	d.quiet(hop)
	near(t, "offset", h.ended, 200)
}

func TestAStreamThatIsOverEndsItsVoice(t *testing.T) {
	var h heard
	d := h.detector()
	d.feed(tone(200, 0.1), 0)
	d.end()
	d.end()
	near(t, "offset", h.ended, 200)
}
