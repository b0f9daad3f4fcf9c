// Command go-sdk leads a whole life through the official Go SDK of SECA, unmodified: regions, SKUs, a workspace, disks,
// a network, an address, an instance and its power, and back to nothing. It does so in two regions side by side, with
// the same names and without ever saying a region but in the choice of the client, and checks what the SDK shows.
//
// It prints a table and exits with 1 when a step failed. Then standard error has what the server refused, because the
// SDK keeps the reason to itself.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/eu-sovereign-cloud/go-sdk/pkg/constants"
	"github.com/eu-sovereign-cloud/go-sdk/secapi"
)

type settings struct {
	url, token, tenant, image string
	regions                   []string
	delay, interval           time.Duration
	attempts                  int
}

func main() {
	var s settings
	var regions string
	flag.StringVar(&s.url, "url", "http://127.0.0.1:8080", "where clients reach the server")
	flag.StringVar(&s.token, "token", os.Getenv("SECA_TOKEN"), "the bearer token; without it, $SECA_TOKEN")
	flag.StringVar(&s.tenant, "tenant", "dev", "the tenant")
	flag.StringVar(&regions, "regions", "fsn1,nbg1", "the two regions")
	flag.StringVar(&s.image, "image", "ubuntu-24.04", "the image that the instances boot from")
	flag.DurationVar(&s.delay, "delay", 0, "how long the SDK waits before it polls")
	flag.DurationVar(&s.interval, "interval", time.Second, "the first pause between polls; each next one is half as long")
	flag.IntVar(&s.attempts, "attempts", 10, "after how many polls the SDK gives up")
	flag.Parse()
	s.regions = strings.Split(regions, ",")
	if len(s.regions) != 2 || s.token == "" {
		fmt.Fprintln(os.Stderr, "go-sdk: -regions takes two names, and -token or $SECA_TOKEN is required")
		os.Exit(2)
	}
	refused := &refusals{inner: http.DefaultTransport}
	http.DefaultTransport = refused
	table := &table{regions: s.regions, cells: map[string]string{}}
	live(context.Background(), s, table)
	table.print(os.Stdout)
	if len(table.failures) > 0 {
		fmt.Fprintf(os.Stderr, "%s\nrefused by the server:\n%s", strings.Join(table.failures, "\n"), refused.told.String())
		os.Exit(1)
	}
}

// connect asks the well-known document where the global providers are.
func connect(ctx context.Context, s settings) (*secapi.GlobalClient, error) {
	first, err := secapi.NewGlobalClient(&secapi.GlobalConfig{
		AuthToken: s.token, Endpoints: secapi.GlobalEndpoints{WellknownV1: s.url},
	})
	if err != nil {
		return nil, err
	}
	known, err := first.WellknownV1.GetWellknown(ctx)
	if err != nil {
		return nil, err
	}
	urls := map[string]string{}
	for _, endpoint := range known.Endpoints {
		urls[endpoint.Provider] = endpoint.Url
	}
	return secapi.NewGlobalClient(&secapi.GlobalConfig{AuthToken: s.token, Endpoints: secapi.GlobalEndpoints{
		RegionV1: urls[constants.RegionProviderV1Name], AuthorizationV1: urls[constants.AuthorizationProviderV1Name],
	}})
}

// live does everything in both regions at once, but for the end: one region goes first, and the other one must not
// notice.
func live(ctx context.Context, s settings, t *table) {
	var global *secapi.GlobalClient
	found := t.row("well-known document", s.regions[0], func() (err error) {
		global, err = connect(ctx, s)
		return err
	})
	if !found {
		return
	}
	here, there := newPlace(s, t, global, s.regions[0]), newPlace(s, t, global, s.regions[1])
	both := func(part func(*place, context.Context)) {
		var group sync.WaitGroup
		for _, p := range []*place{here, there} {
			group.Add(1)
			go func() {
				defer group.Done()
				part(p, ctx)
			}()
		}
		group.Wait()
	}
	both((*place).discover)
	roles(ctx, here, global)
	both((*place).create)
	both((*place).inspect)
	both((*place).power)
	here.destroy(ctx)
	there.survive(ctx)
	there.destroy(ctx)
}

// table collects what each step came to in each region.
type table struct {
	regions  []string
	mutex    sync.Mutex
	steps    []string
	cells    map[string]string
	failures []string
}

// row runs a step and keeps its outcome; whether it went well.
func (t *table) row(step, region string, run func() error) bool {
	started := time.Now()
	err := run()
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if !slices.Contains(t.steps, step) {
		t.steps = append(t.steps, step)
	}
	outcome := fmt.Sprintf("ok %6.2f s", time.Since(started).Seconds())
	if err != nil {
		t.failures = append(t.failures, fmt.Sprintf("%s: %s: %v", region, step, err))
		outcome = "FAILED"
	}
	t.cells[step+" in "+region] = outcome
	return err == nil
}

func (t *table) print(to io.Writer) {
	writer := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	fmt.Fprintln(writer, "step\t"+strings.Join(t.regions, "\t"))
	for _, step := range t.steps {
		line := step
		for _, region := range t.regions {
			line += "\t" + t.cells[step+" in "+region]
		}
		fmt.Fprintln(writer, line)
	}
	writer.Flush()
	fmt.Fprintf(to, "go-sdk: %d steps, %d failed\n", len(t.cells), len(t.failures))
}

// refusals keeps what the server said to what it refused. A 404 is how the SDK learns that something is gone.
type refusals struct {
	inner http.RoundTripper
	mutex sync.Mutex
	told  strings.Builder
}

func (r *refusals) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.inner.RoundTrip(request)
	if err != nil || answer.StatusCode < 400 || answer.StatusCode == http.StatusNotFound {
		return answer, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	answer.Body = io.NopCloser(bytes.NewReader(body))
	r.mutex.Lock()
	defer r.mutex.Unlock()
	fmt.Fprintf(&r.told, "%s %s: %s: %s\n", request.Method, request.URL.Path, answer.Status, body)
	return answer, err
}

// members is a resource as JSON members: what all kinds share is read from them.
func members(resource any) map[string]any {
	text, err := json.Marshal(resource)
	if err != nil {
		return nil
	}
	found := map[string]any{}
	if json.Unmarshal(text, &found) != nil {
		return nil
	}
	return found
}

// compare checks what every resource must show: the specification that was sent, its region and its state.
func compare(sent, shown any, region string) error {
	want, have := members(sent), members(shown)
	metadata, _ := have["metadata"].(map[string]any)
	if found, regional := metadata["region"]; regional && found != region {
		return fmt.Errorf("its region is %v, not %s", found, region)
	}
	if want["spec"] != nil && !reflect.DeepEqual(want["spec"], have["spec"]) {
		return fmt.Errorf("the specification was changed: sent %v, shown %v", want["spec"], have["spec"])
	}
	if !reflect.DeepEqual(want["labels"], have["labels"]) {
		return fmt.Errorf("the labels were changed: sent %v, shown %v", want["labels"], have["labels"])
	}
	return nil
}
