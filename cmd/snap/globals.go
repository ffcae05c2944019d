package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/snapkeep/snap/internal/ratelimit"
	"github.com/snapkeep/snap/internal/term"
	"github.com/spf13/pflag"
)

// globals are the flags of all commands.
type globals struct {
	repository, repositoryFile                string
	secret                                    secretFlags
	cacheDir, cacheSize                       string
	noCache, json, quiet, noLock, noExtraSafe bool
	acceptRollback                            bool
	verbose                                   int
	limitUpload, limitDownload                string
	remote                                    remoteFlags
	asOf                                      string
	config                                    string
	compression, packSize                     string
	retryLock                                 time.Duration
	cpuProfile, memProfile                    string
}

func (g *globals) register(f *pflag.FlagSet) {
	f.StringVarP(&g.repository, "repo", "r", "", "`place` of the repository: a folder, sftp://user@host/path or s3:https://host/bucket/prefix (SNAP_REPOSITORY)")
	f.StringVar(&g.repositoryFile, "repository-file", "", "`file` with the place of the repository (SNAP_REPOSITORY_FILE)")
	g.secret.register(f, "", "p")
	f.StringVar(&g.cacheDir, "cache-dir", "", "`folder` for copies of the index, and of metadata of stores elsewhere (SNAP_CACHE_DIR)")
	f.StringVar(&g.cacheSize, "cache-size", "", "keep so much metadata of each repository elsewhere: `size` in MiB, or with a unit (SNAP_CACHE_SIZE; default 1 GiB)")
	f.BoolVar(&g.noCache, "no-cache", false, "keep no copies of index and metadata")
	f.StringVar(&g.config, "config", "", "`file` or folder with the configuration of pulls (SNAP_CONFIG)")
	f.BoolVar(&g.json, "json", false, "print JSON lines: see snap help json")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "print only results and errors")
	f.CountVarP(&g.verbose, "verbose", "v", "print more; twice: print all")
	f.StringVar(&g.limitUpload, "limit-upload", "", "write at most so much a second: `rate` in KiB, or with a unit")
	f.StringVar(&g.limitDownload, "limit-download", "", "read at most so much a second: `rate` in KiB, or with a unit")
	g.remote.register(f)
	f.StringVar(&g.asOf, "as-of", "", "read an S3 repository as it was at this `time`, whatever was removed since: \"2006-01-02 15:04:05\"")
	f.StringVar(&g.compression, "compression", "", "`level`: off, fastest, default, better or max (SNAP_COMPRESSION)")
	f.StringVar(&g.packSize, "pack-size", "", "`size` of packs in MiB, or with a unit: 4 to 128 MiB, if nobody says so 32 MiB (SNAP_PACK_SIZE)")
	f.BoolVar(&g.acceptRollback, "accept-rollback", false, "take the repository as it is, though this machine has seen it newer")
	f.BoolVar(&g.noExtraSafe, "no-extra-verify", false, "do not open again what was sealed, to compare it, before it counts")
	f.DurationVar(&g.retryLock, "retry-lock", 0, "accepted for scripts: there are no locks to wait for")
	f.BoolVar(&g.noLock, "no-lock", false, "accepted for scripts: there are no locks")
	f.StringVar(&g.cpuProfile, "cpuprofile", "", "write a CPU profile to `file`")
	f.StringVar(&g.memProfile, "memprofile", "", "write a memory profile to `file`")
	for _, name := range []string{"cpuprofile", "memprofile", "retry-lock", "no-lock"} {
		f.Lookup(name).Hidden = true
	}
}

// limiters returns what bounds writing and reading; nil for no bound.
func (g *globals) limiters() (upload, download *ratelimit.Limiter, err error) {
	if upload, err = limiter("--limit-upload", g.limitUpload); err != nil {
		return nil, nil, err
	}
	download, err = limiter("--limit-download", g.limitDownload)
	return upload, download, err
}

func limiter(flag, value string) (*ratelimit.Limiter, error) {
	if value == "" {
		return nil, nil
	}
	bytes, err := term.ParseSize(value, 1<<10)
	if err != nil {
		return nil, usageError("%s: %v", flag, err)
	}
	const most = 1 << 30 // KiB
	if bytes > 0 && bytes < 1<<10 || bytes>>10 > most {
		return nil, usageError("%s: %q is outside 1 KiB to 1 TiB a second", flag, value)
	}
	return ratelimit.New(int(bytes >> 10)), nil
}

// Limits of --pack-size.
const minPackSize, maxPackSize = 4 << 20, 128 << 20

func (a *app) packSize() (int, error) {
	value := a.orVariable(a.global.packSize, "SNAP_PACK_SIZE")
	if value == "" {
		return 0, nil
	}
	bytes, err := term.ParseSize(value, 1<<20)
	if err != nil {
		return 0, usageError("--pack-size: %v", err)
	}
	if bytes < minPackSize || bytes > maxPackSize {
		return 0, usageError("--pack-size: %q is outside %s to %s", value, term.Size(minPackSize), term.Size(maxPackSize))
	}
	return int(bytes), nil
}

// cacheSize returns the bytes of metadata to be kept; 0 for the default, less for none.
func (a *app) cacheSize() (int64, error) {
	value := a.orVariable(a.global.cacheSize, "SNAP_CACHE_SIZE")
	if value == "" {
		return 0, nil
	}
	bytes, err := term.ParseSize(value, 1<<20)
	if err != nil {
		return 0, usageError("--cache-size: %v", err)
	}
	if bytes == 0 {
		bytes = -1
	}
	return bytes, nil
}

func (a *app) compression() (string, error) {
	level := a.orVariable(a.global.compression, "SNAP_COMPRESSION")
	switch level {
	case "", "off", "fastest", "default", "better", "max":
		return level, nil
	case "auto":
		return "default", nil
	}
	return "", usageError("--compression: %q is not off, fastest, default, better or max", level)
}

// startProfiles starts the profiles that were asked for; they end with the program.
func (a *app) startProfiles() error {
	if name := a.global.cpuProfile; name != "" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		a.close = append(a.close, func() error {
			pprof.StopCPUProfile()
			return f.Close()
		})
	}
	if name := a.global.memProfile; name != "" {
		a.close = append(a.close, func() error { return writeHeap(name) })
	}
	return nil
}

func writeHeap(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	runtime.GC()
	if err := pprof.WriteHeapProfile(f); err != nil {
		return fmt.Errorf("memory profile: %w", err)
	}
	return f.Close()
}
