package routine_test

import (
	"testing"
	"time"

	"routinely/shared/routine"
)

func TestNextNumber(t *testing.T) {
	accepted := time.UnixMilli(1_000_000)
	for name, test := range map[string]struct {
		newest []int64
		want   int64
	}{
		"is the time of acceptance, in milliseconds":                   {nil, 1_000_000},
		"is behind older intents as it is":                             {[]int64{0, 999_999}, 1_000_000},
		"of a clock that goes slow is one more than the newest number": {[]int64{5, 1_000_100, 7}, 1_000_101},
		"of two intents of one millisecond is higher for the later":    {[]int64{1_000_000}, 1_000_001},
	} {
		t.Run(name, func(t *testing.T) { same(t, "number", routine.NextNumber(accepted, test.newest...), test.want) })
	}
	t.Run("has all numbers of a claim before it", func(t *testing.T) {
		for _, c := range []routine.Claim{{CreateNumber: 9}, {DeleteNumber: 9}, {DescriptionNumber: 9}, {ExpiryNumber: 9}} {
			same(t, "newest", c.Newest(), 9)
		}
	})
}

func TestTakeBack(t *testing.T) {
	deleted := routine.Claim{State: routine.Live, DeleteNumber: 7, DeleteJob: "d", Overtook: []string{"c"}}
	for name, test := range map[string]struct {
		state routine.ClaimState
		job   string
		want  int64
	}{
		"ends the deletion, so that older intents hold again":  {routine.Live, "d", 0},
		"leaves one of which a call may have taken effect":     {routine.Deleting, "d", 7},
		"leaves that of another job, which has come after it":  {routine.Live, "c", 7},
		"ends the deletion of a routine that is gone already":  {routine.Gone, "d", 0},
		"ends the deletion of one whose host names are absent": {routine.Expiring, "d", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := deleted
			c.State = test.state
			c.TakeBack(test.job, "BoundByOthers")
			if c.DeleteNumber != test.want || (c.DeleteJob == "") != (test.want == 0) || (c.Overtook == nil) != (test.want == 0) {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestThere(t *testing.T) {
	for state, want := range map[routine.ClaimState]bool{
		"": false, routine.Creating: false, routine.Live: true, routine.Expiring: true, routine.Deleting: true, routine.Gone: false,
	} {
		same(t, "a routine that is "+string(state)+" is there", routine.Claim{State: state}.There(), want)
	}
}
