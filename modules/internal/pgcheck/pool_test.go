package pgcheck

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// transactionPool is a pooler in transaction mode in its smallest form: one
// server connection per database that all clients share, from their first
// message to ReadyForQuery. It returns its port.
func transactionPool(t *testing.T, dsn string) int {
	t.Helper()
	server, err := pgconn.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	hijacked, err := server.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); hijacked.Conn.Close() })
	p := &pool{server: hijacked}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

type pool struct {
	mu     sync.Mutex
	server *pgconn.HijackedConn
}

func (p *pool) serve(conn net.Conn) {
	defer conn.Close()
	client := pgproto3.NewBackend(conn, conn)
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return
	}
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"})
	client.Send(&pgproto3.BackendKeyData{ProcessID: 4242, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if client.Flush() != nil {
		return
	}
	for {
		first, err := client.Receive()
		if err != nil || p.transaction(client, first) != nil {
			return
		}
	}
}

// transaction lends the server connection to a client until it is idle again.
func (p *pool) transaction(client *pgproto3.Backend, message pgproto3.FrontendMessage) error {
	if _, ends := message.(*pgproto3.Terminate); ends {
		return io.EOF
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.server.Frontend.Send(message)
		_, query := message.(*pgproto3.Query)
		_, sync := message.(*pgproto3.Sync)
		if query || sync {
			break
		}
		var err error
		if message, err = client.Receive(); err != nil {
			return err
		}
	}
	if err := p.server.Frontend.Flush(); err != nil {
		return err
	}
	for {
		answer, err := p.server.Frontend.Receive()
		if err != nil {
			return err
		}
		client.Send(answer)
		if _, idle := answer.(*pgproto3.ReadyForQuery); idle {
			return client.Flush()
		}
	}
}
