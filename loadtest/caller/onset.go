package main

import "math"

// onsetDetector finds where speech begins and ends, as voicefleet.speech.onset_detector does, hop for hop and number for
// number; what is new is that it can be told of frames that never came (lost) and of pauses that nobody sent (quiet).
type onsetDetector struct {
	began, ended func(ns int64)

	state     state
	fed       int64 // samples before the next hop
	before    [hop]float32
	onsetNs   int64
	riseStart int64
	loudHops  int64
	voicedEnd int64 // sample, one past the last voiced one
	voicedNs  int64
}

type state int

const (
	quietState state = iota
	risingState
	speakingState
)

const (
	earRate      = 16_000
	hop          = earRate / 200 // 5 ms
	hopNs        = 5 * ms
	sampleNs     = int64(1e9) / earRate
	minVoiced    = earRate * 60 / 1000
	maxGap       = earRate * 20 / 1000
	hangover     = earRate * 200 / 1000
	minLoudShare = 0.75
)

var (
	loudRMS  = float32(math.Pow(10, -50.0/20))
	loudPeak = loudRMS * float32(math.Sqrt2)
)

// feed takes whole hops; ns is when the first sample is heard.
func (d *onsetDetector) feed(samples []float32, ns int64) {
	for at := 0; at+hop <= len(samples); at += hop {
		one := samples[at : at+hop]
		d.step(one, isLoud(one), ns+int64(at)*sampleNs)
		copy(d.before[:], one)
		d.fed += hop
	}
}

func isLoud(samples []float32) bool {
	var sum float32
	for _, x := range samples {
		sum += x * x
	}
	return sum >= loudRMS*loudRMS*float32(len(samples))
}

func (d *onsetDetector) step(one []float32, loud bool, ns int64) {
	end := d.fed + hop
	if loud {
		last := hop - 1
		for last > 0 && abs(one[last]) < loudRMS {
			last--
		}
		d.voicedEnd, d.voicedNs = d.fed+int64(last)+1, ns+int64(last+1)*sampleNs
		if d.state == quietState {
			d.state, d.riseStart, d.loudHops = risingState, d.fed, 0
			d.onsetNs = d.firstVoiced(one, ns)
		}
		d.loudHops++
		span := end - d.riseStart
		if d.state == risingState && span >= minVoiced && float64(d.loudHops*hop) >= minLoudShare*float64(span) {
			d.state = speakingState
			d.began(d.onsetNs)
		}
		return
	}
	silent := end - d.voicedEnd
	if d.state == risingState && silent > maxGap {
		d.state = quietState
	} else if d.state == speakingState && silent >= hangover {
		d.end()
	}
}

// firstVoiced goes back within the first loud hop and the one before it, whose end may already be voiced.
func (d *onsetDetector) firstVoiced(one []float32, ns int64) int64 {
	for i, x := range d.before {
		if abs(x) >= loudPeak {
			return ns - int64(hop-i)*sampleNs
		}
	}
	for i, x := range one {
		if abs(x) >= loudPeak {
			return ns + int64(i)*sampleNs
		}
	}
	return ns
}

// lost tells of samples that were sent and never came. They count as what was there before: a hole in a voice is no end of
// it, and a hole after a click makes no voice of it, for only a hop that was heard is believed.
func (d *onsetDetector) lost(samples int64) {
	d.fed += samples
	if d.state == quietState {
		d.before = [hop]float32{}
		return
	}
	d.loudHops += samples / hop
	d.voicedEnd += samples
}

// quiet tells of samples that nobody sent, for there was nothing to hear.
func (d *onsetDetector) quiet(samples int64) {
	d.before = [hop]float32{}
	d.fed += samples
	silent := d.fed - d.voicedEnd
	if d.state == risingState && silent > maxGap {
		d.state = quietState
	} else if d.state == speakingState && silent >= hangover {
		d.end()
	}
}

// end is also for a stream that is over: a voice that goes on ends at its last voiced sample.
func (d *onsetDetector) end() {
	if d.state == speakingState {
		d.ended(d.voicedNs)
	}
	d.state = quietState
}

func abs(x float32) float32 {
	if x < 0 {
		return -x
	}
	return x
}
