/*
 * What the C files and Rust have in common. Rust sees plain values only, never a structure of nginx: their layouts, with the bit
 * fields in them, differ from version to version, and the C compiler has nginx's own headers for them.
 *
 * The types and functions of the first half have their twins in `src/exports.rs`.
 */

#ifndef SPARROW_H
#define SPARROW_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Bytes that belong to whoever passes them. */
typedef struct {
    const u_char  *data;
    size_t         len;
} sparrow_bytes_t;

/* A request, as far as it matters for its route. */
typedef struct {
    ngx_http_request_t  *request;
    sparrow_bytes_t      method;
    sparrow_bytes_t      host;      /* in lower case, without port */
    sparrow_bytes_t      path;      /* decoded and normalised */
    sparrow_bytes_t      query;     /* as it was sent, without `?` */
    sparrow_bytes_t      target;    /* as it was sent: path and query */
    uint64_t             chance;    /* any number, as likely as any other */
    uint16_t             http_port; /* at which clients reach the listeners in the clear */
    uint16_t             https_port;
    uint8_t              listener;
    uint8_t              https;
} sparrow_request_t;

/* What becomes of a request. The bytes are valid until the next call with the same table. */
typedef struct {
    uint16_t         status;    /* 0: it is forwarded; else the answer's */
    uint16_t         port;      /* of the backend, in the machine's byte order */
    uint8_t          family;    /* of the backend's address: 4 or 6 */
    u_char           address[16];
    sparrow_bytes_t  upstream;  /* in which the backend is reached */
    sparrow_bytes_t  target;    /* what the backend is asked for */
    sparrow_bytes_t  location;  /* where the client is sent; empty if it is not */
    sparrow_bytes_t  complaint; /* for the error log; mostly empty */
} sparrow_decision_t;

/* `src/exports.rs` says the same of its own. */
_Static_assert(sizeof(sparrow_request_t) == 104 && sizeof(sparrow_decision_t) == 88, "the layout that Rust has");

typedef struct sparrow_table_s  sparrow_table_t;

/* NULL, with a message of at most `*len` bytes, of which `*len` then says how many there are, if the table cannot be used. */
sparrow_table_t *sparrow_table_open(sparrow_bytes_t path, u_char *message, size_t *len);
void sparrow_table_close(sparrow_table_t *table);
/*
 * The revision by which the next request is routed; 0 if there is none yet. `fault` says why it is not the newest, and is empty
 * if it is; it is valid until the next call with the same table.
 */
uint64_t sparrow_table_revision(sparrow_table_t *table, sparrow_bytes_t *fault);
void sparrow_table_find(sparrow_table_t *table, const sparrow_request_t *request, sparrow_decision_t *decision);

/*
 * What Rust asks of C: the value of the header of this name in lower case, of several that with this number, from 0. Returns 0 if
 * there is none.
 */
int sparrow_header(ngx_http_request_t *r, sparrow_bytes_t name, size_t number, sparrow_bytes_t *value);


/* Of the `http` block. */
typedef struct {
    sparrow_table_t  *table;
    ngx_uint_t        routes;   /* how many locations route by it */
    ngx_int_t         http_port;
    ngx_int_t         https_port;
} sparrow_main_conf_t;

/* Of a location. */
typedef struct {
    ngx_uint_t        listener;
    ngx_flag_t        route;
} sparrow_loc_conf_t;

/* Of a request that is forwarded. */
typedef struct {
    ngx_sockaddr_t    sockaddr;
    socklen_t         socklen;
    ngx_str_t         name;     /* of the address, for logs */
    ngx_str_t         upstream;
    ngx_str_t         target;
} sparrow_ctx_t;

ngx_int_t sparrow_rewrite_handler(ngx_http_request_t *r);
ngx_int_t sparrow_add_variables(ngx_conf_t *cf);
char *sparrow_backends(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

extern ngx_module_t  ngx_http_sparrow_module;

#endif
