package enrol

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
)

// ErrPlan says that a machine cannot be set up as it is asked for.
var ErrPlan = errors.New("set up a source")

// Rights says by which right the agent reads files of others.
type Rights string

// The rights an agent can have.
const (
	// RightsCapability gives a copy of the program, which only the user of the pull may run, the right to read
	// every file and folder (CAP_DAC_READ_SEARCH). There is no way to root from it.
	RightsCapability Rights = "capability"
	// RightsSudo lets the user of the pull run the agent, and nothing else, as root. Dumps that run as another user need
	// it.
	RightsSudo Rights = "sudo"
	// RightsUser reads what the user of the pull may read.
	RightsUser Rights = "user"
)

// Where things are on a source.
const (
	DefaultUser = "snap-pull"
	Program     = "/usr/local/bin/snap"
	agentDir    = "/usr/local/lib/snap"
	agentCopy   = agentDir + "/snap-agent"
	PolicyFile  = "/etc/snap/agent.yaml"
	sudoersFile = "/etc/sudoers.d/snap-pull"
)

// Wish is how a machine is to be set up.
type Wish struct {
	User   string // of the pull on the machine; empty means DefaultUser
	Rights Rights // empty means RightsCapability
	Key    string // public key of the pull: a line as in authorized_keys, without options
	From   string // addresses the key is good from, as of from= in authorized_keys; empty means any
	Policy string // text of the policy
}

// Step is one thing that is done on the machine, as root.
type Step struct {
	Title  string
	Script string // of sh, with set -eu
	// Upload says that the program is read from standard input, behind the script.
	Upload bool
}

// Plan returns the steps that fulfil a wish, in order. Each can be done again. The error wraps ErrPlan.
func (w Wish) Plan() ([]Step, error) {
	w = w.withDefaults()
	if err := w.check(); err != nil {
		return nil, err
	}
	steps := []Step{w.user(), program()}
	switch w.Rights {
	case RightsCapability:
		steps = append(steps, w.capability())
	case RightsSudo:
		steps = append(steps, w.sudo())
	}
	return append(steps, w.policy(), w.key()), nil
}

func (w Wish) withDefaults() Wish {
	if w.User == "" {
		w.User = DefaultUser
	}
	if w.Rights == "" {
		w.Rights = RightsCapability
	}
	return w
}

// check refuses what a script or a file with lines could misread. Nothing of a Wish needs quoting after it.
func (w Wish) check() error {
	plain := func(r rune) bool {
		return r == '-' || r == '_' || unicode.IsLower(r) && r < 0x80 || unicode.IsDigit(r) && r < 0x80
	}
	if strings.HasPrefix(w.User, "-") || w.User == "root" || len(w.User) > 32 || strings.ContainsFunc(w.User, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("%w: user %q: small letters, digits, - and _ are allowed, and root is not", ErrPlan, w.User)
	}
	if w.Rights != RightsCapability && w.Rights != RightsSudo && w.Rights != RightsUser {
		return fmt.Errorf("%w: rights %q: there are %s, %s and %s", ErrPlan, w.Rights, RightsCapability, RightsSudo, RightsUser)
	}
	fields := strings.Fields(w.Key)
	if len(fields) < 2 || strings.ContainsAny(w.Key, "\n\r\x00\"'") || !strings.Contains(fields[0], "-") {
		return fmt.Errorf("%w: %q is no public key", ErrPlan, w.Key)
	}
	address := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(".:/,*?!-", r)
	}
	if strings.ContainsFunc(w.From, func(r rune) bool { return r >= 0x80 || !address(r) }) {
		return fmt.Errorf("%w: addresses %q", ErrPlan, w.From)
	}
	if strings.Contains(w.Policy, endOfFile) || strings.ContainsRune(w.Policy, 0) {
		return fmt.Errorf("%w: a policy with a line %s", ErrPlan, endOfFile)
	}
	return nil
}

func (w Wish) home() string { return path.Join("/var/lib", w.User) }

// Command is what the key of the pull runs, whatever it asks for.
func (w Wish) Command() string {
	switch w = w.withDefaults(); w.Rights {
	case RightsCapability:
		return agentCopy + " agent"
	case RightsSudo:
		return "sudo -n " + Program + " agent"
	default:
		return Program + " agent"
	}
}

// Line is the line of the key in authorized_keys.
func (w Wish) Line() string {
	from := ""
	if w.From != "" {
		from = `,from="` + w.From + `"`
	}
	return `restrict` + from + `,command="` + w.Command() + `" ` + w.Key
}

const endOfFile = "END-OF-FILE"

// hereDocument writes a text to a new file beside its place, readable for all, and moves it there if the check, a program with the
// name of the new file behind it, ends well; none if it is empty.
func hereDocument(place, mode, text, check string) string {
	if check != "" {
		check += " " + place + ".new\n"
	}
	return fmt.Sprintf("cat > %[1]s.new <<'%[4]s'\n%[3]s\n%[4]s\nchown root:root %[1]s.new\nchmod %[2]s %[1]s.new\n%[5]smv -f %[1]s.new %[1]s\n",
		place, mode, strings.TrimRight(text, "\n"), endOfFile, check)
}

// user has a home that belongs to root, so that nobody who becomes this user can add a key. Its password fits nothing,
// but it is not locked: a locked one may not log in by key either.
func (w Wish) user() Step {
	return Step{Title: "make the user " + w.User + ", who can log in by key only", Script: fmt.Sprintf(`set -eu
id -u %[1]s >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir %[2]s --shell /bin/sh %[1]s
usermod --password '*' %[1]s
mkdir -p %[2]s/.ssh
chown root:root %[2]s %[2]s/.ssh
chmod 0755 %[2]s %[2]s/.ssh
`, w.User, w.home())}
}

func program() Step {
	return Step{Title: "put the program to " + Program, Upload: true, Script: fmt.Sprintf(`set -eu
mkdir -p %[2]s
cat > %[1]s.new
chown root:root %[1]s.new
chmod 0755 %[1]s.new
%[1]s.new version >/dev/null
mv -f %[1]s.new %[1]s
`, Program, path.Dir(Program))}
}

func (w Wish) capability() Step {
	return Step{Title: "let a copy that only " + w.User + " may run read all files, and nothing else", Script: fmt.Sprintf(`set -eu
command -v setcap >/dev/null || { echo 'setcap is missing: install libcap2-bin (libcap), or use --rights sudo' >&2; exit 1; }
mkdir -p %[2]s
cp -f %[3]s %[1]s.new
chown root:%[4]s %[1]s.new
chmod 0750 %[1]s.new
setcap cap_dac_read_search=ep %[1]s.new
mv -f %[1]s.new %[1]s
`, agentCopy, agentDir, Program, w.User)}
}

func (w Wish) sudo() Step {
	rule := fmt.Sprintf("%s ALL=(root) NOPASSWD: %s agent", w.User, Program)
	return Step{Title: "let " + w.User + " run the agent as root, and nothing else", Script: fmt.Sprintf(`set -eu
command -v visudo >/dev/null || { echo 'sudo is missing: install it, or use --rights capability' >&2; exit 1; }
umask 077
cat > %[1]s.new <<'%[3]s'
Defaults:%[4]s !requiretty, !use_pty
%[2]s
%[3]s
chmod 0440 %[1]s.new
visudo -cqf %[1]s.new
mv -f %[1]s.new %[1]s
`, sudoersFile, rule, endOfFile, w.User)}
}

func (w Wish) policy() Step {
	return Step{Title: "say in " + PolicyFile + " what may be read and run", Script: "set -eu\nmkdir -p " + path.Dir(PolicyFile) + "\nchmod 0755 " + path.Dir(PolicyFile) + "\n" +
		"[ ! -e " + PolicyFile + " ] || cp -p " + PolicyFile + " " + PolicyFile + ".old\n" +
		hereDocument(PolicyFile, "0644", w.Policy, Program+" agent check --policy")}
}

func (w Wish) key() Step {
	return Step{Title: "allow the key of the pull this one command", Script: "set -eu\n" + hereDocument(w.home()+"/.ssh/authorized_keys", "0644", w.Line(), "")}
}
