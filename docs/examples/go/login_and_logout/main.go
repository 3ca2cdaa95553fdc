// Runs from a login to a sign-out, with the table TABLE_NAME at the endpoint AWS_ENDPOINT_URL_DYNAMODB.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"time"

	"example.com/sessions"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const day = 24 * time.Hour

func main() {
	ctx := context.Background()
	configuration, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	table := os.Getenv("TABLE_NAME")
	if table == "" {
		table = "sessions"
	}
	all := sessions.New(dynamodb.NewFromConfig(configuration), table)
	now := time.Now()
	user, session := "ann", random()

	ends := now.Add(8 * time.Hour)
	attributes := sessions.Item{"ip_address": &types.AttributeValueMemberS{Value: "192.0.2.7"}}
	expect(sessions.Done)(all.Login(ctx, user, session, ends, attributes))
	refreshToken := random()
	expect(sessions.Done)(all.AddRefreshToken(ctx, user, session, refreshToken, now.Add(30*day)))
	claims, err := all.AccessTokenClaims(
		user, session, ends, "https://id.example", "my-api", "orders:read", 15*time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("logged in: the session and the hash of its refresh token are stored")

	// Rotate the token first, so that it is used only once. Then sign a new access token.
	ends = now.Add(16 * time.Hour)
	new := random()
	expect(sessions.Done)(all.RotateRefreshToken(ctx, user, session, refreshToken, new, now.Add(30*day)))
	expect(sessions.Done)(all.Refresh(ctx, user, session, ends))
	fmt.Println("refreshed: the session ends eight hours later, and has a new refresh token")

	again := random()
	expect(sessions.NotFound)(all.RotateRefreshToken(ctx, user, session, refreshToken, again, now.Add(30*day)))
	fmt.Println("rejected: the old refresh token cannot be used a second time")

	// Deny this one token while its session continues.
	expect(sessions.Done)(all.Blacklist(ctx, user, claims.ID, time.Unix(claims.ExpiresAt, 0)))
	fmt.Println("blacklisted: the access token is denied until it expires")

	expect(sessions.Done)(all.Logout(ctx, user, session))
	expect(sessions.Ended)(all.Refresh(ctx, user, session, now.Add(day)))
	expect(sessions.Ended)(all.RotateRefreshToken(ctx, user, session, new, again, now.Add(30*day)))
	fmt.Println("logged out: the session is inactive and stays inactive")
}

// Returns a random string that cannot be guessed.
func random() string {
	bytes := make([]byte, 32)
	if _, err := rand.Read(bytes); err != nil {
		log.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(bytes)
}

func expect(expected sessions.Outcome) func(sessions.Outcome, error) {
	return func(outcome sessions.Outcome, err error) {
		if err != nil {
			log.Fatal(err)
		}
		if outcome != expected {
			log.Fatalf("the outcome is %s, but %s was expected", outcome, expected)
		}
	}
}
