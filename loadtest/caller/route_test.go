package main

import "testing"

func TestACodecIsItsNameAlone(t *testing.T) {
	for mime, want := range map[string]string{"audio/opus": "opus", "audio/RED": "red", "opus": "opus", "": ""} {
		if got := codecName(mime); got != want {
			t.Errorf("%q: %q, wanted %q", mime, got, want)
		}
	}
}

func TestJitterIsTheMeanOverTheCall(t *testing.T) {
	var h heard
	l := newLine(t, &h)
	for i := range 400 {
		// Every second packet comes 10 ms late: a transit that changes by 10 ms each time.
		late := int64(i%2) * 10 * ms
		l.now += late
		l.send(silence, true)
		l.now -= late
	}
	if got := l.ear.close().JitterMs; got < 9 || got > 10 {
		t.Errorf("%v ms", got)
	}
	c := call{heard: earStats{Packets: 100, JitterMs: 1}}
	c.addUp(earStats{Packets: 300, JitterMs: 5})
	c.addUp(earStats{})
	if c.heard.JitterMs != 4 || c.heard.Packets != 400 {
		t.Errorf("%+v", c.heard)
	}
}
