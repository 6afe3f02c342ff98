package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	attemptLimit = 5 * time.Second
	// The place of a key is its event of RFC 4733.
	telephoneKeys = "0123456789*#ABCD"
)

// call is one caller in one room.
type call struct {
	id     string
	out    *writer
	pacers *pacers
	mouth  *mouth
	track  *webrtc.TrackLocalStaticRTP

	ctx  context.Context
	hang context.CancelFunc

	joining sync.Mutex // held while a join is under way: leaving waits for it

	mu       sync.Mutex
	room     *lksdk.Room
	inside   bool    // joined was reported
	waiting  []event // what happened in the room before that
	present  map[string]bool
	ears     map[string]*ear
	heard    earStats // of tracks that are over
	route    route    // as far as it was seen
	gone     bool
	leftOnce sync.Once
}

func newCall(id string, out *writer, pacers *pacers, dtx bool, background [][]byte) *call {
	c := &call{id: id, out: out, pacers: pacers, present: map[string]bool{}, ears: map[string]*ear{}}
	c.ctx, c.hang = context.WithCancel(context.Background())
	c.mouth = &mouth{
		dtx: dtx && len(background) == 0, background: background,
		tick: c.tick, write: func(p *rtp.Packet) error { return c.track.WriteRTP(p) },
	}
	c.mouth.packet.Version = 2
	c.mouth.packet.SequenceNumber = uint16(rand.Uint32())
	c.mouth.packet.Timestamp = rand.Uint32()
	return c
}

// join enters the room and publishes the caller's voice. An attempt that gets no answer is repeated once, with two peer
// connections instead of one: that is what servers before 1.10 know.
func (c *call) join(url, token string, limit time.Duration) {
	c.joining.Lock()
	defer c.joining.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	err := c.attempt(ctx, url, token, true)
	if err != nil && ctx.Err() == nil && !refused(err) {
		err = c.attempt(ctx, url, token, false)
	}
	if err == nil {
		return
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errors.New("no answer within " + limit.String())
	}
	// The SDK's errors may hold the address it called, token and all.
	c.out.send(event{Event: "join_failed", Call: c.id, Ns: nowNs(), Error: strings.ReplaceAll(err.Error(), token, "...")})
}

func refused(err error) bool {
	return strings.Contains(err.Error(), "unauthorized")
}

func (c *call) attempt(ctx context.Context, url, token string, single bool) error {
	track, err := webrtc.NewTrackLocalStaticRTP(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48_000, Channels: 2}, "caller", "caller")
	if err != nil {
		return err
	}
	publication := &lksdk.TrackPublicationOptions{
		Name: "caller", Source: livekit.TrackSource_MICROPHONE, DisableDTX: !c.mouth.dtx,
	}
	options := []lksdk.ConnectOption{
		lksdk.WithConnectTimeout(attemptLimit),
		// Retransmission, bandwidth estimates and reports are for video; without them a caller costs a fifth less.
		lksdk.WithInterceptors([]interceptor.Factory{}),
	}
	if single {
		options = append(options, lksdk.WithSinglePeerConnection(), lksdk.WithTrack(track, publication))
	}
	room := lksdk.NewRoom(c.callbacks())
	if err := room.JoinWithContextAndToken(ctx, url, token, options...); err != nil {
		room.Disconnect()
		return err
	}
	if !single {
		if _, err := room.LocalParticipant.PublishTrack(track, publication); err != nil {
			room.Disconnect()
			return err
		}
	}
	c.entered(room, track)
	return nil
}

func (c *call) entered(room *lksdk.Room, track *webrtc.TrackLocalStaticRTP) {
	for _, one := range room.GetRemoteParticipants() {
		c.arrived(one)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room, c.track, c.inside = room, track, true
	c.out.send(event{Event: "joined", Call: c.id, Ns: nowNs()})
	for _, one := range c.waiting {
		c.out.send(one)
	}
	c.waiting = nil
	c.pacers.add(c.mouth)
}

// tell reports what happens in the room, after `joined` and not once the caller has left.
func (c *call) tell(one event) {
	one.Call = c.id
	if one.Ns == 0 {
		one.Ns = nowNs()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
	case c.inside:
		c.out.send(one)
	default:
		c.waiting = append(c.waiting, one)
	}
}

func (c *call) callbacks() *lksdk.RoomCallback {
	all := lksdk.NewRoomCallback()
	all.OnParticipantConnected = c.arrived
	all.OnParticipantDisconnected = func(who *lksdk.RemoteParticipant) {
		c.mu.Lock()
		was := c.present[who.Identity()]
		delete(c.present, who.Identity())
		c.mu.Unlock()
		if was {
			c.tell(event{Event: "participant_left", Who: who.Identity(), Agent: isAgent(who)})
		}
	}
	all.OnAttributesChanged = func(changed map[string]string, who lksdk.Participant) {
		if remote, ok := who.(*lksdk.RemoteParticipant); ok {
			c.tell(event{Event: "attributes", Who: remote.Identity(), Agent: isAgent(remote), Attributes: changed})
		}
	}
	all.OnTrackSubscribed = func(track *webrtc.TrackRemote, of *lksdk.RemoteTrackPublication, who *lksdk.RemoteParticipant) {
		// Only an agent's voice: its background sound is a track of another source.
		if track.Kind() == webrtc.RTPCodecTypeAudio && of.Source() == livekit.TrackSource_MICROPHONE && isAgent(who) {
			c.arrived(who)
			c.mu.Lock()
			c.route.Codec = codecName(track.Codec().MimeType)
			c.mu.Unlock()
			c.listen(track, of.SID(), who.Identity())
		}
	}
	all.OnReconnecting = func() { c.tell(event{Event: "reconnecting"}) }
	all.OnReconnected = func() { c.tell(event{Event: "reconnected"}) }
	all.OnDisconnectedWithReason = func(reason lksdk.DisconnectionReason) {
		c.tell(event{Event: "disconnected", Error: string(reason)})
	}
	return all
}

func (c *call) arrived(who *lksdk.RemoteParticipant) {
	c.mu.Lock()
	known := c.present[who.Identity()]
	c.present[who.Identity()] = true
	c.mu.Unlock()
	if !known {
		c.tell(event{Event: "participant_joined", Who: who.Identity(), Agent: isAgent(who)})
	}
}

func isAgent(who *lksdk.RemoteParticipant) bool { return who.Kind() == lksdk.ParticipantAgent }

// listen hears a track out, until it or the call is over.
func (c *call) listen(track *webrtc.TrackRemote, sid, who string) {
	report := func(what string) func(int64) {
		return func(ns int64) { c.tell(event{Event: what, Ns: ns, Who: who, Track: sid}) }
	}
	e, err := newEar(report("onset"), report("offset"))
	if err != nil {
		c.tell(event{Event: "wrong", Error: err.Error()})
		return
	}
	c.mu.Lock()
	c.ears[sid] = e
	c.mu.Unlock()
	c.tell(event{Event: "agent_track", Who: who, Track: sid})
	go func() {
		buffer := make([]byte, 1500)
		var packet rtp.Packet
		for {
			n, _, err := track.Read(buffer)
			if err != nil {
				break
			}
			now := nowNs()
			if packet.Unmarshal(buffer[:n]) == nil {
				e.packet(&packet, now)
			}
		}
		c.mu.Lock()
		if c.ears[sid] == e {
			delete(c.ears, sid)
		}
		c.mu.Unlock()
		c.addUp(e.close())
	}()
}

func (c *call) addUp(one earStats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if total := c.heard.Packets + one.Packets; total > 0 {
		c.heard.JitterMs = (c.heard.JitterMs*float64(c.heard.Packets) + one.JitterMs*float64(one.Packets)) / float64(total)
	}
	c.heard.Packets += one.Packets
	c.heard.Lost += one.Lost
	c.heard.Late += one.Late
	c.heard.Gaps += one.Gaps
	c.heard.GapMs += one.GapMs
	c.heard.Broken += one.Broken
}

// look notes how the packets go. Of a connection that is gone it stays as it was.
func (c *call) look() {
	c.mu.Lock()
	room := c.room
	c.mu.Unlock()
	if room == nil {
		return
	}
	found, there := routeOf(room)
	if !there {
		return
	}
	c.mu.Lock()
	found.Codec = c.route.Codec
	c.route = found
	c.mu.Unlock()
}

// press sends keys, one after the other, as a telephone's reach an agent.
func (c *call) press(keys string) {
	c.mu.Lock()
	room := c.room
	c.mu.Unlock()
	told := event{Event: "pressed", Call: c.id}
	if room == nil {
		told.Error = "the caller is not in its room"
	} else if err := dial(room.LocalParticipant.PublishDTMF, keys); err != nil {
		told.Error = err.Error()
	}
	told.Ns = nowNs()
	c.out.send(told)
}

func dial(send func(code uint32, key string) error, keys string) error {
	for _, key := range keys {
		code := strings.IndexRune(telephoneKeys, key)
		if code < 0 {
			return errors.New("no key of a telephone: " + string(key))
		}
		if err := send(uint32(code), string(key)); err != nil {
			return err
		}
	}
	return nil
}

// tick lets the ears notice that nothing comes. The mouth calls it, 50 times a second.
func (c *call) tick(now int64) {
	c.mu.Lock()
	if len(c.ears) == 0 {
		c.mu.Unlock()
		return
	}
	ears := make([]*ear, 0, 2)
	for _, e := range c.ears {
		ears = append(ears, e)
	}
	c.mu.Unlock()
	for _, e := range ears {
		e.idle(now)
	}
}

// leave hangs up in order: no voice any more, the server is told, the connection closed. A join under way is given up first.
func (c *call) leave() {
	c.leftOnce.Do(func() {
		c.hang()
		c.joining.Lock()
		defer c.joining.Unlock()
		c.pacers.remove(c.mouth)
		c.look()
		c.mu.Lock()
		room, ears := c.room, c.ears
		c.ears = map[string]*ear{}
		c.mu.Unlock()
		for _, e := range ears {
			c.addUp(e.close()) // what is being said ends here
		}
		c.mu.Lock()
		c.gone = true
		heard, route := c.heard, c.route
		c.mu.Unlock()
		if room != nil {
			room.Disconnect()
		}
		c.out.send(event{Event: "left", Call: c.id, Ns: nowNs(), Ear: &heard, Route: &route})
	})
}
