package keyring_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/store/mem"
)

// A repository is made with a passphrase for its owner and opened again. A program leaves
// PassphraseOptions empty; the cost here keeps the example short.
func Example() {
	ctx, st := context.Background(), mem.New(nil)
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	config, err := keyring.NewConfig(rand.Reader, time.Now())
	check(err)
	secrets, err := keyring.NewSecrets(rand.Reader, 0x3da3358b4dc173, map[string]keyring.Chunker{
		keyring.ClassFiles:    {Algorithm: 1, Min: 512 << 10, Max: 8 << 20, Bits: 20},
		keyring.ClassDatabase: {Algorithm: 1, Min: 64 << 10, Max: 1 << 20, Bits: 16},
	})
	check(err)
	owner, err := keyring.ForPassphrase("correct horse battery staple", keyring.PassphraseOptions{Cost: keyring.WeakestCost, AllowWeak: true})
	check(err)
	check(keyring.SaveConfig(ctx, st, config))
	_, err = keyring.AddSlot(ctx, st, config, secrets, owner, keyring.SlotOptions{Label: "owner", Created: time.Now()})
	check(err)

	config, err = keyring.LoadConfig(ctx, st)
	check(err)
	credential, err := keyring.Passphrase("correct horse battery staple")
	check(err)
	opened, err := keyring.OpenStore(ctx, st, config, credential)
	check(err)
	fmt.Println(opened.Slot.Label, opened.Slot.Role)
	// Output: owner full
}
