package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// All times on the wire are nanoseconds of CLOCK_MONOTONIC, which Python's time.monotonic reads too.
var (
	epoch   = time.Now()
	epochNs = readMonotonic()
)

func readMonotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}

func nowNs() int64 { return epochNs + int64(time.Since(epoch)) }

const (
	ms      = int64(time.Millisecond)
	frameNs = 20 * ms
)
