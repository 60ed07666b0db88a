package esaemu

import (
	"fmt"
)

// Plan is what the account pays for Edge Routine.
type Plan string

// The plans; an account starts with Free.
const (
	Free Plan = "free"
	Paid Plan = "paid"
)

// terms are a plan's words and quotas in the API.
type terms struct {
	name, payment             string
	routines, versions, sites int
}

// terms of the console guide's table of prices; of the names those of accounts of the China site.
func (p Plan) terms() (terms, error) {
	switch p {
	case Free:
		return terms{name: "er_freemode", payment: "er_free", routines: 20, versions: 5, sites: 20}, nil
	case Paid:
		return terms{name: "er_paymode", payment: "er_pay", routines: 100, versions: 20, sites: 100}, nil
	}
	return terms{}, fmt.Errorf("plan %q: want %s or %s", p, Free, Paid)
}

// subscribe gives the account a plan with its quotas.
func (a *Standing) subscribe(p Plan) error {
	t, err := p.terms()
	if err == nil {
		a.Plan, a.RoutineQuota, a.SiteQuota = p, t.routines, t.sites
	}
	return err
}

// listPlans answers what both plans give, not what a script made of the account's quotas.
func (s *Server) listPlans(params) (step, error) {
	return func(tx) (answer, error) {
		plans := []answer{}
		for _, p := range []Plan{Free, Paid} {
			t, err := p.terms()
			if err != nil {
				return nil, err
			}
			plans = append(plans, answer{
				"PlanName": t.name, "BillingMode": "POSTPAY", "PaymentMethod": t.payment,
				"ErRoutineQuota": t.routines, "ErRoutineCodeVersionQuota": t.versions, "ErRoutineRouteSiteCountQuota": t.sites,
			})
		}
		return answer{"PlanInfo": plans}, nil
	}, nil
}
