package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	tickNs     = 2 * ms
	phases     = int(frameNs / tickNs)
	lateBinNs  = ms / 10
	lateBins   = 10_000 // up to a second
	phaseCount = int64(phases)
	// So many mouths that speak all the time take a third of a core; one pacer does one thing after the other.
	mouthsPerPacer = 300
)

// pacer calls every mouth once in 20 ms. The mouths are spread over ten moments, so that they do not all send at once, and
// share one timer: what wakes up a hundred callers together costs little more than what wakes up ten.
type pacer struct {
	start  int64
	mu     sync.Mutex
	slots  [phases][]*mouth
	mouths int
	late   [lateBins]int64
	sent   int64
	maxNs  int64
}

func newPacer() *pacer { return &pacer{start: nowNs()} }

// pacers are as many as there are mouths for: a machine of many cores is not held up by one of them.
type pacers struct {
	mu  sync.Mutex
	all []*pacer
}

func (p *pacers) add(m *mouth) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if one.add(m) {
			return
		}
	}
	one := newPacer()
	one.add(m)
	p.all = append(p.all, one)
	go one.run()
}

func (p *pacers) remove(m *mouth) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if one.remove(m) {
			return
		}
	}
}

// health is how the process itself did since it started.
type health struct {
	Calls int `json:"calls"`
	// Sent counts frames; how late one left after its moment is LateP50Ms, LateP99Ms, LateMaxMs.
	Sent      int64   `json:"sent"`
	LateP50Ms float64 `json:"late_p50_ms"`
	LateP99Ms float64 `json:"late_p99_ms"`
	LateMaxMs float64 `json:"late_max_ms"`
	CPUSec    float64 `json:"cpu_s"`
	// Late counts frames by lateness, in bins of 0.1 ms without the empty ones: [bin, count], so that processes add up.
	Late       [][2]int64 `json:"late"`
	MaxRSSKb   int64      `json:"max_rss_kb"`
	Goroutines int        `json:"goroutines"`
}

func (p *pacer) run() {
	for tick := int64(0); ; tick++ {
		due := p.start + tick*tickNs
		if wait := due - nowNs(); wait > 0 {
			time.Sleep(time.Duration(wait))
		}
		p.mu.Lock()
		mouths := p.slots[tick%phaseCount]
		p.mu.Unlock()
		for _, m := range mouths {
			if m.due(due) {
				p.sentAt(nowNs() - due)
			}
		}
	}
}

func (p *pacer) sentAt(lateNs int64) {
	bin := min(max(lateNs, 0)/lateBinNs, lateBins-1)
	p.mu.Lock()
	p.late[bin]++
	p.sent++
	p.maxNs = max(p.maxNs, lateNs)
	p.mu.Unlock()
}

// add gives a mouth its moment: the one that the fewest others have; false when there are enough.
func (p *pacer) add(m *mouth) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mouths >= mouthsPerPacer {
		return false
	}
	p.mouths++
	best := 0
	for i := range p.slots {
		if len(p.slots[i]) < len(p.slots[best]) {
			best = i
		}
	}
	m.phaseNs = p.start + int64(best)*tickNs
	// A new slice each time: run() goes through the one before without the lock.
	p.slots[best] = append(append([]*mouth(nil), p.slots[best]...), m)
	return true
}

func (p *pacer) remove(m *mouth) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, there := range p.slots {
		for j, one := range there {
			if one == m {
				p.slots[i] = append(append([]*mouth(nil), there[:j]...), there[j+1:]...)
				p.mouths--
				return true
			}
		}
	}
	return false
}

func (p *pacers) health() health {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // never fails for the process itself
	found := health{
		CPUSec:     seconds(usage.Utime) + seconds(usage.Stime),
		MaxRSSKb:   mostMemoryKb(),
		Goroutines: runtime.NumGoroutine(),
	}
	var late [lateBins]int64
	p.mu.Lock()
	for _, one := range p.all {
		one.mu.Lock()
		for bin, count := range one.late {
			late[bin] += count
		}
		found.Sent += one.sent
		found.LateMaxMs = max(found.LateMaxMs, float64(one.maxNs)/float64(ms))
		one.mu.Unlock()
	}
	p.mu.Unlock()
	var seen int64
	for bin, count := range late {
		if count == 0 {
			continue
		}
		found.Late = append(found.Late, [2]int64{int64(bin), count})
		upperMs := float64(int64(bin)+1) * float64(lateBinNs) / float64(ms)
		if before := seen; float64(before) < 0.5*float64(found.Sent) {
			found.LateP50Ms = upperMs
		}
		if before := seen; float64(before) < 0.99*float64(found.Sent) {
			found.LateP99Ms = upperMs
		}
		seen += count
	}
	return found
}

// mostMemoryKb is the most this program had; getrusage's figure begins with that of the process it was started by.
func mostMemoryKb() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb
		}
	}
	return 0
}

func seconds(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
