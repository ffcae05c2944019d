package sshconn_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// serveChatter is a server that tells of each session that runs "chatter" how it ended, again and again, in words that are none; others say what they are told.
func serveChatter(t *testing.T) (sshconn.Address, sshconn.Options) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go chatterOn(conn, config)
		}
	}()
	home := t.TempDir()
	key := filepath.Join(home, "key")
	sshdtest.WriteKey(t, key, "")
	known := filepath.Join(home, "known")
	if err := os.WriteFile(known, []byte(knownhosts.Line([]string{listener.Addr().String()}, host.PublicKey())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return sshconn.Address{User: "u", Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port},
		sshconn.Options{Home: home, ConfigFiles: []string{}, Agent: "/nonexistent", Identities: []string{key}, KnownHosts: []string{known}, Timeout: long, Idle: long}
}

func chatterOn(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				var command struct{ Line string }
				_ = ssh.Unmarshal(r.Payload, &command)
				_ = r.Reply(true, nil)
				if command.Line == "chatter" {
					for range 200 {
						_, _ = channel.SendRequest("exit-status", false, []byte{1})
						_, _ = channel.SendRequest("exit-signal", false, []byte("none"))
					}
				}
				go func() { _, _ = io.Copy(channel, channel) }()
			}
		}()
	}
}

// TestChatterKeepsNobodyWaiting: what a server tells of one session is taken, whatever it is, so that the others get on.
func TestChatterKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	address, o := serveChatter(t)
	d := sharing(t, newLogins(t), address, o)
	good := cat(t, d)
	chatter, err := d.Exec(t.Context(), "chatter")
	if err != nil {
		t.Fatal(err)
	}
	defer chatter.Close()
	echo(t, chatter)
	for range 20 {
		echo(t, good)
	}
}
