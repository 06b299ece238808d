package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/pg/pgserver"
)

// warehouse is a Postgres with the tables of the report.
type warehouse struct {
	server   *pgserver.Server
	host     *url.URL // without user and password
	password string   // of etl, to whom the tables belong
}

// startWarehouse starts a Postgres below a directory and makes an account and tables.
func startWarehouse(ctx context.Context, dir string) (w *warehouse, err error) {
	w = &warehouse{password: rand.Text()}
	// Nobody opens its files again, so they need not reach the disk.
	w.server, err = pgserver.Start(ctx, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off", "shared_buffers": "16MB"}})
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	admin, err := url.Parse(w.server.URL())
	if err == nil {
		w.host = &url.URL{Host: admin.Host}
		err = query(ctx, admin.String(), "CREATE ROLE etl LOGIN PASSWORD '"+w.password+"'", "CREATE DATABASE warehouse OWNER etl")
	}
	if err == nil {
		err = query(ctx, w.url(), "CREATE TABLE orders (id int PRIMARY KEY, country text NOT NULL, euros numeric NOT NULL)",
			"CREATE TABLE taskgrove_fence (fence_key varchar(255) PRIMARY KEY, attempt bigint NOT NULL, outcome text)")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("warehouse: %w", err), w.server.Stop())
	}
	return w, nil
}

func (w *warehouse) addr() string { return w.host.Host + "/warehouse" }

// url is the database for etl.
func (w *warehouse) url() string {
	return (&url.URL{Scheme: "postgres", User: url.UserPassword("etl", w.password), Host: w.host.Host, Path: "/warehouse"}).String()
}

// connection is the warehouse in the worker's file, but for the password.
func (w *warehouse) connection() object {
	return object{"type": "postgres", "url": "postgres://etl@" + w.addr(), "password": object{"secret": "warehouse-password"}, "tls": "disable"}
}

// query runs statements, one after the other.
func query(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// loaded is how many orders there are.
func (w *warehouse) loaded(ctx context.Context) (n int, err error) {
	conn, err := pgx.Connect(ctx, w.url())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return n, conn.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&n)
}
