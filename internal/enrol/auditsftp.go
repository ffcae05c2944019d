package enrol

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"time"
)

// UseSFTP is what an attempt of AuditLogin is about that has to go through where SFTP is what the key is for.
const UseSFTP = "use SFTP"

// Packets and answers of the SFTP protocol, version 3.
const (
	sftpInit, sftpVersion             = 1, 2
	sftpMkdir, sftpRmdir, sftpStatus  = 14, 15, 101
	sftpDone, sftpNone, sftpForbidden = 0, 2, 3
)

// maxSFTPAnswer in bytes is that of an answer that is read.
const maxSFTPAnswer = 64 << 10

// AuditSFTP tries whether an SFTP server, which nobody has greeted yet, lets somebody write: in each of some folders, and in the one where it begins, it is asked for a
// folder, which is removed again.
func AuditSFTP(ctx context.Context, conn io.ReadWriteCloser, folders []string) (all []Attempt) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	timer := time.AfterFunc(attemptTime, func() { conn.Close() })
	defer timer.Stop()
	s := &sftpAudit{conn: conn}
	_, _, err := s.ask(sftpInit, nil)
	for _, folder := range append([]string{"."}, folders...) {
		a := Attempt{What: "make a folder by SFTP in " + folder}
		if err == nil {
			err = s.write(path.Join(folder, "snap-audit-"+rand.Text()), &a)
		}
		if err != nil {
			a.Verdict, a.Detail = Unknown, err.Error()
		}
		all = append(all, a)
	}
	return all
}

// sftpAudit asks one thing after another.
type sftpAudit struct{ conn io.ReadWriter }

// write tries to make a folder, and says what came of it. The error is one of the connection.
func (s *sftpAudit) write(name string, a *Attempt) error {
	named := binary.BigEndian.AppendUint32(nil, uint32(len(name)))
	named = append(named, name...)
	status, says, err := s.ask(sftpMkdir, append(named, 0, 0, 0, 0)) // no attributes
	switch {
	case err != nil:
		return err
	case status == sftpForbidden, status == sftpNone:
		a.Verdict, a.Detail = Refused, says
		return nil
	case status != sftpDone:
		a.Verdict, a.Detail = Unknown, says
		return nil
	}
	a.Verdict, a.Detail = Allowed, "run the server so that it only reads: internal-sftp -R, or sftp-server -R"
	if status, says, err = s.ask(sftpRmdir, named); err == nil && status != sftpDone {
		a.Detail += "; remove " + name + ": " + says
	}
	return err
}

// ask sends a packet and returns the status of the answer, and what it says.
func (s *sftpAudit) ask(kind byte, payload []byte) (status uint32, says string, err error) {
	var id []byte
	if kind == sftpInit {
		payload = []byte{0, 0, 0, 3}
	} else {
		id = []byte{0, 0, 0, 1}
	}
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(id)+len(payload)))
	packet = append(append(append(packet, kind), id...), payload...)
	if _, err := s.conn.Write(packet); err != nil {
		return 0, "", err
	}
	var head [5]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		return 0, "", err
	}
	length := binary.BigEndian.Uint32(head[:4])
	if length < 1 || length > maxSFTPAnswer || head[4] != sftpVersion && head[4] != sftpStatus {
		return 0, "", fmt.Errorf("%w: what answered is no SFTP server", ErrPlan)
	}
	body := make([]byte, length-1)
	if _, err := io.ReadFull(s.conn, body); err != nil || head[4] == sftpVersion {
		return sftpDone, "", err
	}
	if len(body) < 12 {
		return 0, "", fmt.Errorf("%w: an answer of %d bytes", ErrPlan, length)
	}
	text := body[12:]
	return binary.BigEndian.Uint32(body[4:]), string(text[:min(int(binary.BigEndian.Uint32(body[8:])), len(text))]), nil
}
