package main

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

func newMouth(dtx bool) (*mouth, *[]rtp.Packet) {
	var sent []rtp.Packet
	m := &mouth{dtx: dtx, tick: func(int64) {}, write: func(p *rtp.Packet) error {
		sent = append(sent, *p)
		return nil
	}}
	return m, &sent
}

func TestAFrameIsSentOnceItHasBeenSpoken(t *testing.T) {
	m, sent := newMouth(false)
	began := m.say([][]byte{{1, 1, 1}, {2, 2, 2}}, 47*ms)
	if began != 60*ms {
		t.Fatalf("begins at %d ms", began/ms)
	}
	for at := int64(0); at <= 140*ms; at += frameNs {
		m.due(at)
	}
	for i, p := range *sent {
		want := byte(0xf8)
		if i == 4 || i == 5 { // 80 and 100 ms
			want = byte(i - 3)
		}
		if p.Payload[0] != want {
			t.Errorf("packet %d: %x", i, p.Payload)
		}
	}
}

func TestWithoutDTXEveryFrameIsSent(t *testing.T) {
	m, sent := newMouth(false)
	for i := range int64(200) {
		m.due(i * frameNs)
	}
	if len(*sent) != 200 {
		t.Errorf("%d packets", len(*sent))
	}
}

func TestWithDTXAPauseCostsAPacketEvery400Ms(t *testing.T) {
	m, sent := newMouth(true)
	for i := range int64(framesBeforeDTX + 10*framesOfDTX) {
		m.due(i * frameNs)
	}
	if len(*sent) != framesBeforeDTX+10 {
		t.Fatalf("%d packets", len(*sent))
	}
	before, last := (*sent)[framesBeforeDTX+8], (*sent)[framesBeforeDTX+9]
	if len(last.Payload) != 1 || last.SequenceNumber-before.SequenceNumber != 1 {
		t.Errorf("%+v after %+v", last, before)
	}
	if last.Timestamp-before.Timestamp != framesOfDTX*samplesPerFrame {
		t.Errorf("time stamps stand still in a pause: %d", last.Timestamp-before.Timestamp)
	}
}

// What is said has the background mixed in from its first frame on: it goes on from where the words leave it.
func TestABackgroundIsSentBetweenTheWordsAndGoesOnBehindThem(t *testing.T) {
	m, sent := newMouth(true)
	m.background = [][]byte{{0}, {1}, {2}}
	m.due(0)
	m.due(frameNs)
	m.say([][]byte{{10}, {11}, {12}, {13}}, frameNs+1)
	for i := range int64(15) {
		m.due((2 + i) * frameNs)
	}
	var got []byte
	for _, p := range *sent {
		got = append(got, p.Payload[0])
	}
	if want := []byte{0, 1, 2, 10, 11, 12, 13, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, wanted %v", got, want)
	}
}

func TestKeysAreSentInTheirOrderWithTheirEvents(t *testing.T) {
	var codes []uint32
	send := func(code uint32, _ string) error {
		codes = append(codes, code)
		return nil
	}
	if err := dial(send, "10*#D"); err != nil || !slices.Equal(codes, []uint32{1, 0, 10, 11, 15}) {
		t.Errorf("%v, %v", codes, err)
	}
	if dial(send, "x") == nil {
		t.Error("x is no key")
	}
}

func TestMouthsDoNotAllSendAtOnce(t *testing.T) {
	p := newPacer()
	at := map[int64]int{}
	var all []*mouth
	for range 100 {
		m, _ := newMouth(false)
		p.add(m)
		at[m.phaseNs]++
		all = append(all, m)
	}
	if len(at) != phases || at[p.start] != 10 {
		t.Errorf("%v", at)
	}
	for _, m := range all {
		p.remove(m)
	}
	for _, slot := range p.slots {
		if len(slot) != 0 {
			t.Error("a mouth is left")
		}
	}
}

// One pacer does one thing after the other: with more mouths than it can serve there is another, and places are given anew.
func TestManyMouthsHaveSeveralPacers(t *testing.T) {
	p := &pacers{}
	var all []*mouth
	add := func() {
		m, _ := newMouth(true)
		m.write = func(*rtp.Packet) error { return nil }
		p.add(m)
		all = append(all, m)
	}
	for range 2*mouthsPerPacer + 1 {
		add()
	}
	if len(p.all) != 3 || p.all[2].mouths != 1 {
		t.Fatalf("%d pacers", len(p.all))
	}
	p.remove(all[0])
	add()
	if len(p.all) != 3 || p.all[0].mouths != mouthsPerPacer {
		t.Errorf("%d pacers, %d mouths with the first", len(p.all), p.all[0].mouths)
	}
	for _, m := range all {
		p.remove(m)
	}
	for _, one := range p.all {
		if one.mouths != 0 {
			t.Error("a mouth is left")
		}
	}
}

func TestLatenessIsTold(t *testing.T) {
	p := &pacers{all: []*pacer{newPacer(), newPacer()}}
	for range 49 {
		p.all[0].sentAt(ms / 20)
		p.all[1].sentAt(ms / 20)
	}
	p.all[0].sentAt(30 * ms)
	p.all[1].sentAt(40 * ms)
	h := p.health()
	if h.Sent != 100 || h.LateP50Ms > 0.2 || h.LateP99Ms < 30 || h.LateP99Ms > 30.2 || h.LateMaxMs != 40 {
		t.Errorf("%+v", h)
	}
}

// The orchestrator may be killed: its end of the socket closes, and nothing here may wait for it.
func TestTheEndOfTheOrdersIsTheEnd(t *testing.T) {
	ours, theirs := net.Pipe()
	hub := newHub(newWriter(ours))
	over := make(chan struct{})
	go func() {
		hub.obey(ours)
		hub.leaveAll(time.Second)
		close(over)
	}()
	if _, err := io.WriteString(theirs, `{"do":"say","call":"nobody","clip":"none"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 200)
	n, err := theirs.Read(answer)
	if err != nil || n == 0 {
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Fatal("it goes on")
	}
}
