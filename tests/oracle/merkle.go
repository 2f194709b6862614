// An implementation of Merkle logs and signed notes that is not ours (golang.org/x/mod/sumdb, from Debian) checks what
// witan says. It reads one JSON request a line and answers each with one JSON line; tests/src/merkle_oracle.rs asks.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Request is one thing to check or to make. Hashes and digests are base64.
type Request struct {
	Do      string   `json:"do"`
	Digests [][]byte `json:"digests"`
	Digest  []byte   `json:"digest"`
	Size    int64    `json:"size"`
	Root    []byte   `json:"root"`
	Index   int64    `json:"index"`
	OldSize int64    `json:"oldSize"`
	OldRoot []byte   `json:"oldRoot"`
	Hashes  [][]byte `json:"hashes"`
	Note    string   `json:"note"`
	Key     string   `json:"key"`
	Text    string   `json:"text"`
}

// Answer is "" for what is right, or why it is refused; and what was made.
type Answer struct {
	Refused string   `json:"refused"`
	Roots   [][]byte `json:"roots,omitempty"`
	Text    string   `json:"text,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		var request Request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answer, err := request.answer()
		if err != nil {
			answer.Refused = err.Error()
		}
		line, err := json.Marshal(answer)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		out.Write(append(line, '\n'))
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (r *Request) answer() (Answer, error) {
	switch r.Do {
	case "roots":
		return r.roots()
	case "inclusion":
		return Answer{}, tlog.CheckRecord(hashes(r.Hashes), r.Size, hash(r.Root), r.Index, tlog.RecordHash(r.Digest))
	case "consistency":
		return Answer{}, tlog.CheckTree(hashes(r.Hashes), r.Size, hash(r.Root), r.OldSize, hash(r.OldRoot))
	case "open":
		verifier, err := note.NewVerifier(r.Key)
		if err != nil {
			return Answer{}, err
		}
		opened, err := note.Open([]byte(r.Note), note.VerifierList(verifier))
		if err != nil {
			return Answer{}, err
		}
		return Answer{Text: opened.Text}, nil
	case "sign":
		signer, err := note.NewSigner(r.Key)
		if err != nil {
			return Answer{}, err
		}
		signed, err := note.Sign(&note.Note{Text: r.Text}, signer)
		return Answer{Text: string(signed)}, err
	}
	return Answer{}, fmt.Errorf("unknown request %q", r.Do)
}

// roots gives the root after each of the digests.
func (r *Request) roots() (Answer, error) {
	var stored []tlog.Hash
	var answer Answer
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			found = append(found, stored[index])
		}
		return found, nil
	})
	for n, digest := range r.Digests {
		more, err := tlog.StoredHashes(int64(n), digest, reader)
		if err != nil {
			return answer, err
		}
		stored = append(stored, more...)
		root, err := tlog.TreeHash(int64(n)+1, reader)
		if err != nil {
			return answer, err
		}
		answer.Roots = append(answer.Roots, append([]byte(nil), root[:]...))
	}
	return answer, nil
}

func hash(bytes []byte) (h tlog.Hash) {
	copy(h[:], bytes)
	return h
}

func hashes(list [][]byte) []tlog.Hash {
	found := make([]tlog.Hash, len(list))
	for n, bytes := range list {
		found[n] = hash(bytes)
	}
	return found
}
