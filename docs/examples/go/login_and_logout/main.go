// Runs from a login to a sign-out, with the table TABLE_NAME at the endpoint AWS_ENDPOINT_URL_DYNAMODB.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"example.com/sessions"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const day = 24 * time.Hour

func main() {
	ctx := context.Background()
	configuration, err := config.LoadDefaultConfig(ctx)
	check(err)
	table := os.Getenv("TABLE_NAME")
	if table == "" {
		table = "sessions"
	}
	all := sessions.New(dynamodb.NewFromConfig(configuration), table)
	now := time.Now()
	user := "ann"

	login, err := all.Login(ctx, user, now.Add(8*time.Hour), sessions.Attributes{
		IPAddress:    "192.0.2.7",
		MaxExpiresAt: now.Add(30 * day),
	})
	check(err)
	session, token := login.Session, login.RefreshToken
	claims, err := all.AccessTokenClaims(user, session, login.ExpiresAt, "https://id.example", "my-api", "orders:read")
	check(err)
	fmt.Println("logged in: the session is stored, with the hash of its refresh token")

	refreshed, err := all.Refresh(ctx, user, session, token, now.Add(16*time.Hour))
	expect(sessions.Done)(refreshed.Outcome, err)
	fmt.Println("refreshed: the session ends eight hours later, and has a new refresh token")

	// Another tab of the browser uses the same token at the same time.
	repeated, err := all.Refresh(ctx, user, session, token, now.Add(16*time.Hour))
	expect(sessions.Done)(repeated.Outcome, err)
	if repeated.RefreshToken != refreshed.RefreshToken {
		log.Fatal("the used refresh token returned another new one")
	}
	fmt.Println("repeated: the used refresh token returned the same new one")

	// Deny this one access token while its session continues.
	expect(sessions.Done)(all.Blacklist(ctx, user, claims.ID, time.Unix(claims.ExpiresAt, 0)))
	fmt.Println("blacklisted: the access token is denied until it expires")

	expect(sessions.Done)(all.Logout(ctx, user, session))
	late, err := all.Refresh(ctx, user, session, refreshed.RefreshToken, now.Add(day))
	expect(sessions.Ended)(late.Outcome, err)
	fmt.Println("logged out: the session is inactive and stays inactive")
}

func expect(expected sessions.Outcome) func(sessions.Outcome, error) {
	return func(outcome sessions.Outcome, err error) {
		check(err)
		if outcome != expected {
			log.Fatalf("the outcome is %s, but %s was expected", outcome, expected)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
