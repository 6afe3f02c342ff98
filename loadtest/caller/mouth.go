package main

import (
	"sync"

	"github.com/pion/rtp"
)

const (
	samplesPerFrame = 960 // 20 ms of RTP's 48 kHz
	// What libopus does in silence with DTX: some more frames, then one every 400 ms.
	framesBeforeDTX = 10
	framesOfDTX     = 20
)

var (
	// silence is a frame of digital silence (CELT, fullband, 20 ms); dtxFrame a table of contents alone, which tells the
	// decoder that the pause is meant.
	silence  = []byte{0xf8, 0xff, 0xfe}
	dtxFrame = []byte{0xf8}
)

// mouth sends one caller's voice: prepared frames when there is something to say, else its background, else silence.
type mouth struct {
	write      func(*rtp.Packet) error
	tick       func(now int64)
	dtx        bool
	background [][]byte // sent over and over; what is said has it mixed in, from its first frame on
	phaseNs    int64    // when one of its frames is due; the others are by multiples of 20 ms from it

	mu      sync.Mutex
	frames  [][]byte
	begin   int64
	next    int
	beneath int // frames of the background since its first one
	quiet   int
	packet  rtp.Packet
}

// say starts a clip and returns when its first sample is spoken. As in a real client, a frame is sent once its 20 ms have
// been spoken: the first one is due a frame after the clip begins, and it begins from now on, never before.
func (m *mouth) say(frames [][]byte, now int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	slots := (now - m.phaseNs + frameNs - 1) / frameNs
	m.frames, m.next = frames, 0
	m.begin = m.phaseNs + slots*frameNs
	return m.begin
}

// due sends what is to be sent at this moment, if anything; true if a frame was sent.
func (m *mouth) due(at int64) bool {
	m.tick(at)
	m.mu.Lock()
	defer m.mu.Unlock()
	payload := m.payload(at)
	m.packet.Timestamp += samplesPerFrame
	if payload == nil {
		return false
	}
	m.packet.Payload = payload
	err := m.write(&m.packet)
	m.packet.SequenceNumber++
	return err == nil
}

func (m *mouth) payload(at int64) []byte {
	if m.next < len(m.frames) && at >= m.begin+frameNs {
		frame := m.frames[m.next]
		m.next++
		m.beneath = m.next
		// The first packet after a pause is marked.
		m.packet.Marker = m.dtx && m.quiet > framesBeforeDTX
		m.quiet = 0
		return frame
	}
	m.packet.Marker = false
	if len(m.background) > 0 {
		m.beneath++
		return m.background[(m.beneath-1)%len(m.background)]
	}
	m.quiet++
	if !m.dtx || m.quiet <= framesBeforeDTX {
		return silence
	}
	if (m.quiet-framesBeforeDTX-1)%framesOfDTX == 0 {
		return dtxFrame
	}
	return nil
}
