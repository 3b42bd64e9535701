// Asks the library of Kubernetes' CronJob controller when schedules fire, and writes what it says as JSON.
package main

import (
	"encoding/json"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

const (
	minute  = "2006-01-02T15:04Z"
	firings = 5
)

var expressions = []string{
	// Each field by itself, and the names of Kubernetes' own.
	"* * * * *", "*/5 * * * *", "*/7 * * * *", "5/20 * * * *", "10-20/3 * * * *", "0,15,59 * * * *", "59 * * * *", "*/90 * * * *",
	"0 * * * *", "30 */2 * * *", "15 */5 * * *", "0 6 * * *", "05 06 * * *", "0 9-17/4 * * *", "0 9-17 * * *", "30 23 * * *", "0 0 * * *",
	"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly",
	// The hours in which clocks change.
	"30 0 * * *", "0 1 * * *", "30 1 * * *", "45 1 * * *", "0 2 * * *", "15 2 * * *", "30 2 * * *", "45 2 * * *", "0 3 * * *", "15 3 * * *",
	"0,30 0-3 * * *", "*/15 1-2 * * *", "*/10 3 * * *", "30 1 * * 6", "30 1 * * SUN", "30 0 * * 4", "0 12 * * FRI", "0 12 * * 0",
	// Days of the month and of the week: both, or one of them.
	"0 0 1 * *", "0 0 31 * *", "30 1 29 2 *", "0 0 30 4,6 *", "0 6 ? * MON-FRI", "0 6 * * mon,Wed,fri", "0 6 13 * FRI", "0 6 13 * *",
	"0 6 */2 * MON", "0 6 */1 * MON", "0 6 1 * */2", "0 6 1 * */1", "0 6 1-31 * MON", "0 6 1,* * MON", "0 6 28-31 FEB *", "0 6 1 JAN-mar/2 ?",
	"0 6 30 2 MON", "0 6 1 * 0-6", "0 6 5/10 * *", "0 0 1-7 * 2", "15 3 1 */3 *", "0 0 1 5/3 *",
}

// Where the clock does not change by whole hours on the hour, or leaves out midnight, what the library says on that day
// depends on where it is asked from. The starts there lie before the change: so the controller comes to that day, too.
var starts = map[string][]string{
	"Etc/UTC":             {"2026-02-27T23:30Z", "2028-02-28T12:00Z"},
	"Europe/Berlin":       {"2026-03-28T20:20Z", "2026-03-29T00:50Z", "2026-10-25T00:10Z", "2026-10-25T01:10Z"},
	"America/New_York":    {"2026-03-08T03:10Z", "2026-11-01T04:50Z", "2026-11-01T06:20Z"},
	"Australia/Lord_Howe": {"2026-04-04T10:00Z", "2026-10-03T10:00Z", "2026-10-03T15:20Z"},
	"Pacific/Chatham":     {"2026-04-04T13:30Z"},
	"Asia/Kathmandu":      {"2026-12-31T12:00Z"},
	"America/Sao_Paulo":   {"2018-11-03T20:00Z", "2019-02-17T00:50Z"},
	"America/Santiago":    {"2026-04-05T01:50Z", "2026-09-06T00:10Z"},
	"Africa/Cairo":        {"2026-04-23T12:00Z", "2026-10-29T19:50Z"},
}

var refused = []string{
	"", " ", "* * * *", "0 * * * * *", "0 0 6 * * *", "0 6 * * * 2026", "@Daily", "@reboot", " @daily", "daily", "@every", "@every x",
	"60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 7", "* * * * 5-7", "* * * * FRI-MON",
	"0 22-4 * * *", "*/0 * * * *", "5/ * * * *", "/5 * * * *", "- * * * *", "1- * * * *", "-1 * * * *", "1-2-3 * * * *", "1/2/3 * * * *",
	"a * * * *", "MON * * * *", "* * * MON *", "* * * * JAN", "* * * * MONDAY", "* * * JANUARY *", "* * L * *", "* * LW * *", "* * 15W * *",
	"* * * * 5L", "* * * * FRI#2", "* * * * MON#1", "H * * * *", "0~30 * * * *", "1.5 * * * *", "** * * * *", "*,x * * * *", "٣ * * * *",
	"* * * * *\u200b", "99999999999999999999 * * * *",
}

// What the library takes and Trifold does not: it counts from its start, has its own zone, or is a typing error.
var taken = []string{
	"@every 5m", "TZ=UTC 0 6 * * *", "CRON_TZ=Europe/Berlin 0 6 * * *", "TZ=UTC @daily", "*-5 * * * *", "?-x/3 * * * *", "1,,2 * * * *",
	",1 * * * *", "1, * * * *", ", * * * *", "+5 * * * *", "*/+5 * * * *", "0005 * * * *", "*/1000 * * * *", "0\u00a06 * * *", "0 6 * *\n*",
}

var never = []string{"0 0 30 2 *", "0 0 30,31 FEB ?", "0 0 31 2,4,6,9,11 *", "59 23 31 2 *"}

type start struct {
	Zone    string            `json:"zone"`
	Start   string            `json:"start"`
	Firings map[string]string `json:"firings"`
}

func main() {
	out := map[string]any{"made_by": madeBy(), "starts": asked(), "refused": errors(), "taken": taken, "never": never}
	for _, expression := range taken {
		parse(expression)
	}
	for _, expression := range never {
		if !parse(expression).Next(time.Now()).IsZero() {
			panic(expression + " fires")
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	must(encoder.Encode(out))
}

func asked() (found []start) {
	for _, zone := range slices.Sorted(maps.Keys(starts)) {
		location, err := time.LoadLocation(zone)
		must(err)
		for _, text := range starts[zone] {
			from, err := time.Parse(minute, text)
			must(err)
			found = append(found, start{zone, text, map[string]string{}})
			for _, expression := range expressions {
				found[len(found)-1].Firings[expression] = after(parse(expression), from.In(location))
			}
		}
	}
	return found
}

func after(schedule cron.Schedule, instant time.Time) string {
	var found []string
	for range firings {
		instant = schedule.Next(instant)
		found = append(found, instant.UTC().Format(minute))
	}
	return strings.Join(found, " ")
}

func errors() map[string]string {
	found := map[string]string{}
	for _, expression := range refused {
		_, err := cron.ParseStandard(expression)
		if err == nil {
			panic(expression + " is taken")
		}
		found[expression] = err.Error()
	}
	return found
}

func parse(expression string) cron.Schedule {
	schedule, err := cron.ParseStandard(expression)
	must(err)
	return schedule
}

func madeBy() string {
	info, _ := debug.ReadBuildInfo()
	library := info.Deps[0]
	return runtime.Version() + ", " + library.Path + " " + library.Version
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
