// Program voicefleet-caller holds the calls of a load test: many callers in one process, a few thousandths of a core each.
//
// It is told what to do by `voicefleet loadtest` over a socket that it inherits, in JSON lines (protocol.go), and reports
// what it hears. It decides nothing: who calls when, what is said and what an answer was worth is the other side's. When
// the socket closes, for whatever reason, every room is left in order and the program ends.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	protologger "github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

const leaveLimit = 5 * time.Second

func main() {
	descriptor := flag.Int("fd", 3, "descriptor of the socket that the orders come from")
	flag.Parse()
	connection, err := inherited(*descriptor)
	if err != nil {
		fmt.Fprintf(os.Stderr, "voicefleet-caller is started by `voicefleet loadtest --engine go`: %v\n", err)
		os.Exit(2)
	}
	lksdk.SetLogger(protologger.GetDiscardLogger())
	// Ctrl-C in a terminal reaches this process too; whoever gave the orders hangs up, and then closes the socket.
	signal.Ignore(syscall.SIGINT)
	go func() {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
		_ = connection.Close()
	}()
	hub := newHub(newWriter(connection))
	hub.obey(connection)
	hub.leaveAll(leaveLimit)
}

func inherited(descriptor int) (net.Conn, error) {
	file := os.NewFile(uintptr(descriptor), "orders")
	if file == nil {
		return nil, fmt.Errorf("no descriptor %d", descriptor)
	}
	defer func() { _ = file.Close() }()
	return net.FileConn(file)
}
