package main

import (
	"sync"

	"github.com/pion/opus"
	"github.com/pion/rtp"
)

const (
	rtpPerMs  = 48
	longestMs = 120 // of one packet
	// A pause up to this long is the network's: a packet that comes later than that was not sent when it was due.
	patienceNs = 100 * ms
	// Of lost packets so many are taken for speech that goes on; more is a hole that a listener hears.
	bridgedMs = 100
	// A time stamp that jumps further is another stream.
	jumpMs = 60_000
)

// earStats is what one track's packets went through.
type earStats struct {
	Packets int64 `json:"packets"`
	// Lost never came, Late came after what follows them had been heard; both by sequence number.
	Lost int64 `json:"lost"`
	Late int64 `json:"late"`
	// Gaps are holes inside speech that no listener's buffer of 100 ms bridges; GapMs their sum.
	Gaps   int64   `json:"gaps"`
	GapMs  float64 `json:"gap_ms"`
	Broken int64   `json:"broken"`
	// JitterMs is the mean of what RFC 3550 (6.4.1) has after each packet.
	JitterMs float64 `json:"jitter_ms"`
}

// ear listens to one track: decodes every packet, fills what is missing, and times what it hears by the arrival of the packet
// that carried it, the earliest moment at which a client could have played it.
type ear struct {
	mu       sync.Mutex
	detector onsetDetector
	decoder  opus.Decoder
	stats    earStats
	pcm      []float32

	started   bool
	seq       uint16
	nextTs    uint32 // one past the last sample taken
	arrivedNs int64
	transit   int64 // of the packet before, ns, for the jitter of RFC 3550
	jitterMs  float64
	jitterSum float64 // after each packet
	quietNs   int64   // silence told to the detector since that packet
}

func newEar(began, ended func(ns int64)) (*ear, error) {
	decoder, err := opus.NewDecoderWithOutput(earRate, 1)
	if err != nil {
		return nil, err
	}
	e := &ear{decoder: decoder, pcm: make([]float32, earRate/1000*longestMs)}
	e.detector = onsetDetector{began: began, ended: ended}
	return e, nil
}

// packet takes one packet that arrived at `now`.
func (e *ear) packet(p *rtp.Packet, now int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(p.Payload) == 0 {
		return // padding, of a probe
	}
	if e.started {
		ahead := int16(p.SequenceNumber - e.seq)
		if ahead <= 0 {
			e.stats.Late++
			if ahead < 0 && e.stats.Lost > 0 {
				e.stats.Lost--
			}
			return
		}
		e.missing(int64(ahead)-1, int64(int32(p.Timestamp-e.nextTs))/rtpPerMs, now)
	}
	e.jitter(p.Timestamp, now)
	e.started, e.seq, e.arrivedNs, e.quietNs = true, p.SequenceNumber, now, 0
	e.stats.Packets++
	lengthMs := packetMs(p.Payload)
	e.nextTs = p.Timestamp + uint32(lengthMs*rtpPerMs)
	if len(p.Payload) <= 2 {
		// Nothing but a table of contents: the sender's silence.
		e.detector.quiet(lengthMs * earRate / 1000)
		return
	}
	n, err := e.decoder.DecodeToFloat32(p.Payload, e.pcm)
	if err != nil {
		e.stats.Broken++
		e.detector.lost(lengthMs * earRate / 1000)
		return
	}
	e.detector.feed(e.pcm[:n], now)
}

// missing accounts for `lost` packets and `gapMs` of time stamps between the packet before and this one.
func (e *ear) missing(lost, gapMs, now int64) {
	e.stats.Lost += lost
	if e.detector.state == speakingState && (lost > 0 || gapMs <= 0) {
		if hole := now - e.arrivedNs - frameNs; hole > patienceNs {
			e.stats.Gaps++
			e.stats.GapMs += float64(hole) / float64(ms)
		}
	}
	if gapMs <= 0 || gapMs > jumpMs {
		return
	}
	gapMs = max(0, gapMs-e.quietNs/ms) // told already
	bridged := int64(0)
	if lost > 0 {
		bridged = min(gapMs, bridgedMs)
	}
	e.detector.lost(bridged * earRate / 1000)
	e.detector.quiet((gapMs - bridged) * earRate / 1000)
}

// idle is called every 20 ms: when nothing comes any more, the detector is told of silence, for nobody else will.
func (e *ear) idle(now int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.started || e.detector.state == quietState {
		return
	}
	if waited := now - e.arrivedNs - frameNs - patienceNs - e.quietNs; waited >= frameNs {
		e.detector.quiet(waited / hopNs * hop)
		e.quietNs += waited / hopNs * hopNs
	}
}

func (e *ear) close() earStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.detector.end()
	if e.stats.Packets > 0 {
		e.stats.JitterMs = e.jitterSum / float64(e.stats.Packets)
	}
	return e.stats
}

func (e *ear) jitter(ts uint32, now int64) {
	transit := now - int64(ts)*ms/rtpPerMs
	if e.started {
		if d := transit - e.transit; d < 1000*ms && d > -1000*ms {
			e.jitterMs += (float64(max(d, -d))/float64(ms) - e.jitterMs) / 16
		}
	}
	e.transit = transit
	e.jitterSum += e.jitterMs
}

// packetMs is how long a packet plays (RFC 6716, section 3.1), at least a frame.
func packetMs(payload []byte) int64 {
	config, code := payload[0]>>3, payload[0]&3
	var tenths int64
	switch {
	case config < 12:
		tenths = []int64{100, 200, 400, 600}[config%4]
	case config < 16:
		tenths = []int64{100, 200}[config%2]
	default:
		tenths = []int64{25, 50, 100, 200}[config%4]
	}
	frames := int64(1)
	switch {
	case code == 1 || code == 2:
		frames = 2
	case code == 3 && len(payload) > 1:
		frames = int64(payload[1] & 0x3f)
	}
	return max(1, min(frames*tenths/10, longestMs))
}
