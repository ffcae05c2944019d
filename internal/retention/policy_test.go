package retention

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy Policy
		want   error
		text   string
	}{
		{DefaultPolicy(), nil, ""},
		{Policy{KeepLast: All}, nil, ""},
		{Policy{KeepTags: []string{""}}, nil, ""},
		{Policy{KeepWithin: Duration{Hours: 1}, Zone: "Asia/Kathmandu"}, nil, ""},
		{Policy{}, ErrEmptyPolicy, "keeps nothing"},
		{Policy{Zone: "UTC", Overlap: true}, ErrEmptyPolicy, "keeps nothing"},
		{Policy{KeepDaily: -2}, ErrInvalidPolicy, "keep_daily: -2"},
		{Policy{KeepYearly: 1_000_001}, ErrInvalidPolicy, "keep_yearly"},
		{Policy{KeepWithinWeekly: Duration{Days: -1}}, ErrInvalidPolicy, "keep_within_weekly"},
		{Policy{KeepLast: 1, Zone: "Local"}, ErrInvalidPolicy, "zone"},
		{Policy{KeepLast: 1, Zone: "Europe/Atlantis"}, ErrInvalidPolicy, "Europe/Atlantis"},
		{Policy{KeepLast: 1, Zone: "../../etc/passwd"}, ErrInvalidPolicy, "zone"},
		{Policy{KeepLast: 1, Zone: strings.Repeat("x", 1000)}, ErrInvalidPolicy, "zone"},
		{Policy{KeepTags: []string{"a,,b"}}, ErrInvalidPolicy, "keep_tags"},
		{Policy{KeepTags: []string{strings.Repeat("x", 5000)}}, ErrInvalidPolicy, "keep_tags"},
		{Policy{KeepTags: make([]string, 1001)}, ErrInvalidPolicy, "keep_tags"},
	} {
		err := test.policy.Validate()
		if !errors.Is(err, test.want) || (err != nil && !strings.Contains(err.Error(), test.text)) {
			t.Errorf("Validate(%+v) = %v, want %v with %q", test.policy, err, test.want, test.text)
		}
		if _, applyErr := Apply(test.policy, at(t, "UTC", "2026-01-01 00:00"), nil, Options{}); !errors.Is(applyErr, test.want) {
			t.Errorf("Apply(%+v) = %v, want %v", test.policy, applyErr, test.want)
		}
	}
}

// The names are stored in repositories and never change.
func TestPolicyJSON(t *testing.T) {
	t.Parallel()
	d := Duration{Days: 1}
	full := Policy{1, 2, 3, 4, 5, 6, All, d, d, d, d, d, Duration{Years: 1, Minutes: 2}, []string{"a,b", ""}, true, "Europe/Berlin"}
	for _, test := range []struct {
		policy Policy
		text   string
	}{
		{DefaultPolicy(), `{"keep_daily":7,"keep_weekly":4,"keep_monthly":12,"zone":"UTC"}`},
		{full, `{"keep_last":1,"keep_hourly":2,"keep_daily":3,"keep_weekly":4,"keep_monthly":5,` +
			`"keep_quarterly":6,"keep_yearly":-1,"keep_within":"1d","keep_within_hourly":"1d",` +
			`"keep_within_daily":"1d","keep_within_weekly":"1d","keep_within_monthly":"1d",` +
			`"keep_within_yearly":"P1YT2M","keep_tags":["a,b",""],"overlap":true,"zone":"Europe/Berlin"}`},
	} {
		text, err := json.Marshal(test.policy)
		if err != nil || string(text) != test.text {
			t.Errorf("Marshal = %s, %v; want %s", text, err, test.text)
		}
		got, err := ParsePolicy([]byte(test.text))
		if err != nil || !reflect.DeepEqual(got, test.policy) {
			t.Errorf("ParsePolicy(%s) = %+v, %v; want %+v", test.text, got, err, test.policy)
		}
	}
	if text, err := json.Marshal(Policy{KeepLast: 1}); err != nil || string(text) != `{"keep_last":1,"zone":"UTC"}` {
		t.Errorf("Marshal = %s, %v", text, err)
	}
	// Every field of Policy has a name in JSON.
	if got, want := len(full.fields()), reflect.TypeFor[Policy]().NumField(); got != want {
		t.Errorf("%d names for %d fields", got, want)
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		want error
	}{
		{``, ErrInvalidPolicy},
		{`[]`, ErrInvalidPolicy},
		{`null`, ErrInvalidPolicy},
		{`{"keep_daily":7`, ErrInvalidPolicy},
		{`{"keep_daily":7}{}`, ErrInvalidPolicy},
		{`{"keep_dayly":7}`, ErrInvalidPolicy},
		{`{"Keep_Daily":7}`, ErrInvalidPolicy},
		{`{"keep_daily":7,"keep_daily":0}`, ErrInvalidPolicy},
		{`{"keep_daily":"7"}`, ErrInvalidPolicy},
		{`{"keep_daily":7.5}`, ErrInvalidPolicy},
		{`{"keep_daily":null}`, ErrInvalidPolicy},
		{`{"keep_within":"1x"}`, ErrInvalidPolicy},
		{`{"keep_daily":-7}`, ErrInvalidPolicy},
		{`{"keep_daily":7,"zone":"Local"}`, ErrInvalidPolicy},
		{`{}`, ErrEmptyPolicy},
		{`{"keep_daily":0,"keep_within":"0d","zone":"UTC"}`, ErrEmptyPolicy},
	} {
		if p, err := ParsePolicy([]byte(test.text)); !errors.Is(err, test.want) {
			t.Errorf("ParsePolicy(%s) = %+v, %v; want %v", test.text, p, err, test.want)
		}
	}
}

func TestPolicyString(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy Policy
		want   string
	}{
		{DefaultPolicy(), "7 daily, then 4 weekly, then 12 monthly; days in UTC"},
		{Policy{KeepLast: 3, KeepYearly: All, Zone: "Asia/Tokyo"}, "3 last, then all yearly; days in Asia/Tokyo"},
		{Policy{KeepWithin: Duration{Days: 2}, KeepWithinDaily: Duration{Weeks: 3}, Overlap: true},
			"all within 2d, also all daily within 3w; days in UTC"},
		{Policy{KeepTags: []string{"a,b"}}, `tag "a,b"; days in UTC`},
	} {
		if got := test.policy.String(); got != test.want {
			t.Errorf("String = %q, want %q", got, test.want)
		}
	}
}

func TestParseCount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"0": 0, "7": 7, "-1": All, "all": All, "unlimited": All, "1000000": 1000000} {
		if got, err := ParseCount(text); err != nil || got != want {
			t.Errorf("ParseCount(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-2", "7d", "1000001", "seven", " 7"} {
		if n, err := ParseCount(text); !errors.Is(err, ErrInvalidPolicy) {
			t.Errorf("ParseCount(%q) = %d, %v; want ErrInvalidPolicy", text, n, err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"keep_daily":7,"keep_weekly":4,"keep_monthly":12,"zone":"UTC"}`))
	f.Add([]byte(`{"keep_within":"P1YT2M","keep_tags":["a,b",""],"overlap":true,"zone":"Europe/Berlin"}`))
	f.Add([]byte(`{"keep_last":-1}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data)
		if err != nil {
			if !errors.Is(err, ErrInvalidPolicy) && !errors.Is(err, ErrEmptyPolicy) {
				t.Fatalf("ParsePolicy(%q): %v", data, err)
			}
			return
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParsePolicy(text)
		if err != nil {
			t.Fatalf("%q is written as %s: %v", data, text, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(text) {
			t.Fatalf("%q is written as %s, then as %s (%v)", data, text, second, err)
		}
	})
}
