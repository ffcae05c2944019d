package config

import (
	"time"
)

// Config is a whole configuration.
type Config struct {
	Repository Repository `yaml:"repository" doc:"where the snapshots go"`
	// Parallel is how many sources are pulled at a time.
	Parallel int               `yaml:"parallel" doc:"how many sources are pulled at a time, 1 to 256; default 4"`
	Defaults Source            `yaml:"defaults" doc:"what holds for every source that does not say otherwise"`
	Sources  map[string]Source `yaml:"sources" doc:"what is pulled, by the name that its snapshots bear"`
}

// Repository says where the repository is and how it is opened. Flags and environment have precedence.
type Repository struct {
	Location        string `yaml:"location" doc:"folder, sftp://… or s3:…, as of --repo"`
	PasswordFile    string `yaml:"password_file" doc:"file with the passphrase"`
	PasswordCommand string `yaml:"password_command" doc:"shell command that prints the passphrase"`
	IdentityFile    string `yaml:"identity_file" doc:"age identity or SSH private key"`
}

// The transports.
const (
	TransportAgent = "agent"
	TransportSFTP  = "sftp"
	TransportLocal = "local"
)

// Source is a machine, or a part of one, whose snapshots make a history.
type Source struct {
	Address   string `yaml:"address" doc:"[user@]host[:port], or an alias of ~/.ssh/config"`
	Transport string `yaml:"transport" enum:"agent sftp local" doc:"agent (default); sftp, which needs nothing on the source and gives less; or local for this machine"`
	SSH       SSH    `yaml:"ssh" doc:"how to connect"`
	Host      string `yaml:"host" doc:"name of the host in the snapshots; default the host of the address"`

	Paths             []string `yaml:"paths" doc:"absolute paths of folders and files"`
	Devices           []string `yaml:"devices" doc:"block devices and disk images, read as data"`
	Exclude           []string `yaml:"exclude" doc:"patterns of what is left out, as of --exclude; one that leaves out one of the paths as a whole is an error"`
	IExclude          []string `yaml:"iexclude" doc:"as exclude, whatever the case of letters"`
	ExcludeIfPresent  []string `yaml:"exclude_if_present" doc:"leave out folders with a file of one of these names"`
	ExcludeCaches     *bool    `yaml:"exclude_caches" doc:"leave out folders marked by CACHEDIR.TAG"`
	ExcludeLargerThan Size     `yaml:"exclude_larger_than" doc:"leave out larger files"`
	OneFileSystem     *bool    `yaml:"one_file_system" doc:"stay on the file systems of the paths"`

	Streams []Stream `yaml:"streams" doc:"dumps and other streams that the source's policy names"`

	Snapshots []string `yaml:"snapshots" doc:"file-system snapshots that the source's policy names: made before its files are read, and removed after, whatever happens"`

	Every Duration `yaml:"every" doc:"due so long after the last good snapshot; default 1d"`
	Tags  []string `yaml:"tags" doc:"tags of the snapshots"`
	Keep  *Keep    `yaml:"keep" doc:"which snapshots stay; without it the policy stored in the repository holds, and without that all stay"`

	Compress string `yaml:"compress" enum:"auto on off" doc:"compression on the way: auto (default), over slow lines and once there are snapshots; on; off"`
	Limits   Limits `yaml:"limits" doc:"what one pull may take"`
	Guards   Guards `yaml:"guards" doc:"when a snapshot is suspicious"`
	Hooks    Hooks  `yaml:"hooks" doc:"commands on this server; SNAP_SOURCE names the source. A pull that finds another one of its source under way runs none: that one tells"`
}

// SSH says how to connect.
type SSH struct {
	Identity   string `yaml:"identity" doc:"file with the private key of the pull; one that others may read is not used"`
	KnownHosts string `yaml:"known_hosts" doc:"file with the keys of hosts; lines whose key cannot be read are passed over"`
	Command    string `yaml:"command" doc:"external ssh command in place of the built-in client; it gets the files above as -i and -o UserKnownHostsFile"`
	Agent      string `yaml:"agent_command" doc:"what is run on the source; default: snap agent, and nothing else goes where the key has a forced command"`
	SFTP       string `yaml:"sftp_command" doc:"for transport sftp: what is run on the source in place of the sftp subsystem, such as: sudo -n /usr/lib/openssh/sftp-server -R"`
}

// Stream is a stream of a source.
type Stream struct {
	Name string `yaml:"name" doc:"name in the source's policy, and of the file in the snapshot"`
	Kind string `yaml:"kind" enum:"postgresql mysql mariadb sqlite command" doc:"postgresql, mysql, mariadb or sqlite: the end mark of the dump is checked here as well"`
}

// Keep says which snapshots stay.
type Keep struct {
	Last    int `yaml:"last" doc:"the last so many"`
	Hourly  int `yaml:"hourly" doc:"one an hour, so many"`
	Daily   int `yaml:"daily" doc:"one a day, so many"`
	Weekly  int `yaml:"weekly" doc:"one a week, so many"`
	Monthly int `yaml:"monthly" doc:"one a month, so many"`
	Yearly  int `yaml:"yearly" doc:"one a year, so many"`
}

// Limits bound a pull.
type Limits struct {
	Time    Duration `yaml:"time" doc:"that it may take; default 24h"`
	Bytes   Size     `yaml:"bytes" doc:"of file data that the source may send; default 64 TiB"`
	Entries int64    `yaml:"entries" doc:"files and folders; default 200000000"`
	Memory  Size     `yaml:"memory" doc:"that the list of a folder takes here, with those of the folders above it; default 256 MiB, enough for some 800000 entries"`
	Idle    Duration `yaml:"idle" doc:"without a sign of the source; default 60s"`
}

// Guards say when a snapshot is suspicious: it is kept, takes no place in the retention, and holds that of its source.
type Guards struct {
	Shrink     *Percent `yaml:"shrink" doc:"files or bytes down by more than this, where there were 20 files or more; default 50%; 100% never"`
	Changed    *Percent `yaml:"changed" doc:"more than this of the files changed at once, where 50 or more are new or changed, and what they became does not compress; default 30%; 100% never"`
	Renamed    *Percent `yaml:"renamed" doc:"more than this of the files gone and as many new, where 50 or more are new or changed; default 50%; 100% never"`
	AllowEmpty *bool    `yaml:"allow_empty" doc:"a source without files, or a root in which nothing is any more, is no reason to worry"`
	NewHost    *bool    `yaml:"new_host" doc:"another machine may answer than the last time"`
	Canaries   []string `yaml:"canaries" doc:"paths of files that nobody changes: one that changed or is gone is a sign of an attacker"`
}

// Hooks are commands on this server, without a shell.
type Hooks struct {
	Before       []Command `yaml:"before" doc:"before the pull; one that fails fails it"`
	AfterSuccess []Command `yaml:"after_success" doc:"after a snapshot was made; not in a dry run. SNAP_RESULT is success or partial, SNAP_SNAPSHOT the id of the snapshot"`
	AfterFailure []Command `yaml:"after_failure" doc:"after none was made, also because the repository cannot be opened or the configuration is wrong elsewhere, or a suspicious one; SNAP_RESULT is failure or suspicious, SNAP_ERROR and SNAP_WHY tell why"`
	Finally      []Command `yaml:"finally" doc:"at the end, whatever happened; if the pull was killed outright or the power went, at the end of the next one"`
	Timeout      Duration  `yaml:"timeout" doc:"that one command may take; default 10m"`
}

// Defaults of fields that are zero.
const (
	DefaultParallel    = 4
	DefaultEvery       = 24 * time.Hour
	DefaultTime        = 24 * time.Hour
	DefaultHookTimeout = 10 * time.Minute
	DefaultShrink      = 0.5
	DefaultChanged     = 0.3
	DefaultRenamed     = 0.5
	DefaultAgent       = "snap agent"
)

// builtIn is what holds for sources where neither they nor the defaults say anything.
func builtIn() Source {
	share := func(p Percent) *Percent { return &p }
	return Source{Transport: TransportAgent, Every: Duration(DefaultEvery), Compress: "auto", SSH: SSH{Agent: DefaultAgent},
		Limits: Limits{Time: Duration(DefaultTime)}, Hooks: Hooks{Timeout: Duration(DefaultHookTimeout)},
		Guards: Guards{Shrink: share(DefaultShrink), Changed: share(DefaultChanged), Renamed: share(DefaultRenamed)}}
}
