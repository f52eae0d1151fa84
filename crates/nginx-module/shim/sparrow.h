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

/* What the clients of a host, or of a server, are asked when they open a connection over TLS: all 0 is what all are. */
#define SPARROW_TLS_CLASS_LEN  16

/* A request, as far as it matters for its route. */
typedef struct {
    ngx_http_request_t  *request;
    sparrow_bytes_t      method;
    sparrow_bytes_t      host;      /* in lower case, without port */
    sparrow_bytes_t      path;      /* decoded and normalised */
    sparrow_bytes_t      query;     /* as it was sent, without `?` */
    sparrow_bytes_t      target;    /* as it was sent: path and query */
    sparrow_bytes_t      server_name; /* the host for which its connection was opened, over TLS; empty without one */
    uint64_t             chance;    /* any number, as likely as any other: that of a session that begins with it */
    uint16_t             http_port; /* at which clients reach the listeners in the clear */
    uint16_t             https_port;
    uint8_t              listener;
    uint8_t              https;     /* how the client sent it: a proxy may have taken TLS off */
    uint8_t              tls;       /* how it came here */
    uint8_t              tls_class[SPARROW_TLS_CLASS_LEN]; /* that of its server */
} sparrow_request_t;

#define SPARROW_MAX_TRIES  3

/* A server of a backend. */
typedef struct {
    u_char           address[16];
    uint16_t         port;      /* in the machine's byte order */
    uint8_t          family;    /* 4 or 6 */
} sparrow_endpoint_t;

/*
 * What becomes of a request. With `location`, it goes on in the location of this name. Else it is answered with `status`. The bytes are
 * valid until the next call with the same table.
 */
typedef struct {
    uint16_t         status;
    sparrow_endpoint_t  endpoints[SPARROW_MAX_TRIES]; /* in the order in which they are tried */
    uint8_t          tries;     /* how many there are */
    sparrow_bytes_t  location;
    sparrow_bytes_t  text;      /* where the client is sent, or what it is told */
    sparrow_bytes_t  content_type; /* the type of what it is told, perhaps in the location; empty if it is told nothing */
    sparrow_bytes_t  target;    /* what the backend is asked for: that of the request where nothing changes of it */
    sparrow_bytes_t  prefix;    /* what was taken off the path, as it was sent */
    sparrow_bytes_t  route;     /* the object whose rule it is */
    sparrow_bytes_t  backend;   /* if a key of the request leads to one of its endpoints: that of its location */
    sparrow_bytes_t  complaint; /* for the error log; mostly empty */
} sparrow_decision_t;

/* `src/exports.rs` says the same of its own. */
_Static_assert(sizeof(sparrow_request_t) == 136 && sizeof(sparrow_decision_t) == 192, "the layout that Rust has");

/* By what one of the endpoints of a backend is chosen. */
typedef struct {
    sparrow_bytes_t  backend;   /* its name, as a decision has it */
    sparrow_bytes_t  key;       /* what requests have in common that get the same endpoint */
    sparrow_bytes_t  named;     /* what the client says that its endpoint is called; empty if it says nothing */
    uint64_t         chance;    /* any number, as likely as any other */
    size_t           subset;    /* any of so many endpoints, which are those of the key; 0: the first of these */
} sparrow_key_choice_t;

/* The endpoints that are chosen. */
typedef struct {
    sparrow_endpoint_t  endpoints[SPARROW_MAX_TRIES]; /* in the order in which they are tried */
    uint8_t          tries;     /* how many there are */
    uint8_t          has_named; /* whether the backend has the one that the client named */
} sparrow_chosen_t;

_Static_assert(sizeof(sparrow_key_choice_t) == 64 && sizeof(sparrow_chosen_t) == 62, "the layout that Rust has");

#define SPARROW_ENDPOINT_NAME_LEN  16

#define SPARROW_HANDSHAKE_REJECTED     0 /* no such host, or none with a certificate */
#define SPARROW_HANDSHAKE_CERTIFICATE  1
#define SPARROW_HANDSHAKE_FAILED       2 /* as `complaint` says */

/* What a handshake gets. The bytes are valid until the next call with the same table. */
typedef struct {
    uint8_t          kind;
    uint8_t          tls_class[SPARROW_TLS_CLASS_LEN]; /* what its clients are asked */
    sparrow_bytes_t  certificate;     /* its id */
    sparrow_bytes_t  session_context; /* that of no other host or certificate, nor of one whose clients are asked something else */
    sparrow_bytes_t  complaint;
} sparrow_handshake_t;

/* A certificate in PEM; with a complaint there is none. The bytes are valid until the next call with the same table. */
typedef struct {
    sparrow_bytes_t  chain;
    sparrow_bytes_t  key;
    sparrow_bytes_t  complaint;
} sparrow_certificate_t;

_Static_assert(sizeof(sparrow_handshake_t) == 72 && sizeof(sparrow_certificate_t) == 48, "the layout that Rust has");

typedef struct sparrow_table_s  sparrow_table_t;

/* NULL, with a message of at most `*len` bytes, of which `*len` then says how many there are, if the table cannot be used. */
sparrow_table_t *sparrow_table_open(sparrow_bytes_t path, u_char *message, size_t *len);
void sparrow_table_close(sparrow_table_t *table);
/*
 * The revision by which the next request is routed; 0 if there is none yet. `fault` says why it is not the newest, and is empty
 * if it is; it is valid until the next call with the same table.
 */
uint64_t sparrow_table_revision(sparrow_table_t *table, sparrow_bytes_t *fault);
/* Whether nginx is about to end, so that clients are asked to close their connections. */
int sparrow_table_is_draining(const sparrow_table_t *table);
void sparrow_table_find(sparrow_table_t *table, const sparrow_request_t *request, sparrow_decision_t *decision);
/* The host is as the client has sent it, and empty if it named none. */
void sparrow_handshake_find(sparrow_table_t *table, uint8_t listener, sparrow_bytes_t host,
    sparrow_handshake_t *handshake);
void sparrow_certificate_find(sparrow_table_t *table, sparrow_bytes_t id, sparrow_certificate_t *certificate);
/* Returns 1 if it is a host as RFC 3986 has it, perhaps with a port. */
int sparrow_is_host(sparrow_bytes_t host);
/* How many digits at its end are its port, from 1 to 65535; 0 if it names none. */
size_t sparrow_port_len(sparrow_bytes_t host);
/* Returns 0, and chooses none, if the newest table has no such backend with endpoints. */
int sparrow_choose_by_key(sparrow_table_t *table, const sparrow_key_choice_t *choice, sparrow_chosen_t *chosen);
/* Writes what cookies of sessions call the endpoint at an address as nginx says it. Returns 0 if it is none. */
int sparrow_endpoint_name(sparrow_bytes_t address, u_char name[SPARROW_ENDPOINT_NAME_LEN]);
/* The endpoint has a request more, and one less. */
void sparrow_endpoint_begin(sparrow_table_t *table, const sparrow_endpoint_t *endpoint);
void sparrow_endpoint_end(sparrow_table_t *table, const sparrow_endpoint_t *endpoint);
/* Takes note of what came of a try. Returns 1 if the endpoint gets no requests from now on. */
int sparrow_endpoint_note(sparrow_table_t *table, const sparrow_endpoint_t *endpoint, int failed);

/* What a client says who it is, and the name of the file of passwords by which it is asked. */
typedef struct {
    sparrow_bytes_t  file;
    sparrow_bytes_t  user;
    sparrow_bytes_t  password;
} sparrow_credentials_t;

_Static_assert(sizeof(sparrow_credentials_t) == 48, "the layout that Rust has");

typedef struct sparrow_passwords_s  sparrow_passwords_t;

/* A memory of passwords that were found right, with none in it; NULL if there are no random numbers. */
sparrow_passwords_t *sparrow_passwords_new(void);
void sparrow_passwords_free(sparrow_passwords_t *passwords);
/* Returns 1 if it is known to be right. The time is in milliseconds, of a clock that only goes forward. */
int sparrow_passwords_contain(const sparrow_passwords_t *passwords, const sparrow_credentials_t *credentials,
    uint64_t now_ms);
void sparrow_passwords_add(sparrow_passwords_t *passwords, const sparrow_credentials_t *credentials, uint64_t now_ms);

/* A request that has ended, of the object `route`; of none if that is empty. */
typedef struct {
    sparrow_bytes_t  route;
    uint64_t         duration_ms;
    uint64_t         sent_bytes;
    uint64_t         received_bytes;
    uint64_t         retries;
    uint16_t         status;    /* 0: it was not answered */
} sparrow_counted_t;

_Static_assert(sizeof(sparrow_counted_t) == 56, "the layout that Rust has");

typedef struct sparrow_counts_s  sparrow_counts_t;

/* As `sparrow_table_open`. */
sparrow_counts_t *sparrow_counts_open(sparrow_bytes_t path, u_char *message, size_t *len);
void sparrow_counts_close(sparrow_counts_t *counts);
void sparrow_counts_add(const sparrow_counts_t *counts, const sparrow_counted_t *counted);

/*
 * What Rust asks of C: the value of the header of this name in lower case, of several that with this number, from 0. Returns 0 if
 * there is none.
 */
int sparrow_header(ngx_http_request_t *r, sparrow_bytes_t name, size_t number, sparrow_bytes_t *value);
/* And the host of a request with its port, as clients are told of it; empty if it cannot be evaluated. */
void sparrow_told_host(ngx_http_request_t *r, sparrow_bytes_t *host);


/* The variables of a request, by their places among all. */
typedef struct {
    ngx_int_t                  prefix;
    ngx_int_t                  route;
    ngx_int_t                  host;
    ngx_int_t                  upgrade;
    ngx_int_t                  request_uri;  /* nginx's own, from here on */
    ngx_int_t                  server_addr;
    ngx_int_t                  http_upgrade;
    ngx_int_t                  request_id;
} sparrow_indexes_t;

typedef struct sparrow_certificate_cache_s  sparrow_certificate_cache_t;

/* Connections to backends that are kept for further requests. */
typedef struct sparrow_connections_s  sparrow_connections_t;

#define SPARROW_TLS_IDENTITY_LEN  32

/* Of the `http` block. */
typedef struct {
    sparrow_table_t           *table;
    sparrow_certificate_cache_t  *certificates; /* NULL: no server has any of the table */
    ngx_uint_t                 routes;      /* how many servers route by it */
    ngx_int_t                  http_port;
    ngx_int_t                  https_port;
    ngx_http_complex_value_t  *scheme;      /* how clients sent a request; NULL: as it came */
    ngx_http_complex_value_t  *told_host;   /* the host that a client named, with its port; NULL: as the request has it */
    ngx_http_complex_value_t  *own_address; /* what backends are told for a host where clients named none; NULL: where it came */
    sparrow_indexes_t          indexes;
    sparrow_counts_t          *counts;      /* NULL: nothing is counted */
    sparrow_passwords_t       *passwords;   /* NULL: no location remembers any */
    ngx_http_handler_pt        auth_basic;  /* nginx's own, which finds them right or wrong */
} sparrow_main_conf_t;

/* Of a server, or of an upstream. */
typedef struct {
    ngx_uint_t                 listener;
    ngx_flag_t                 route;
    sparrow_main_conf_t       *certificates; /* whose table has its certificates; NULL: it has none there */
    uint8_t                    tls_class[SPARROW_TLS_CLASS_LEN]; /* what it asks of clients over TLS */
    sparrow_connections_t     *connections; /* those of an upstream; NULL: it keeps none */
} sparrow_srv_conf_t;

/* Of a location. */
typedef struct {
    ngx_str_t                  passwords;   /* under which name passwords are remembered; empty: they are not */
    ngx_http_complex_value_t  *key;         /* by which requests get their endpoints; NULL: by none */
    ngx_http_complex_value_t  *named;       /* what a client says that its endpoint is called; NULL: none does */
    ngx_int_t                  subset;      /* among how many endpoints those of a key are spread; unset: it has one */
} sparrow_loc_conf_t;

/* What a client is answered, or where it is sent. */
typedef struct {
    ngx_uint_t                 status;
    ngx_str_t                  text;
    ngx_str_t                  content_type;
} sparrow_answer_t;

/* Of a request that goes on in a location that the table names. */
typedef struct {
    ngx_str_t                  location;    /* the name, which stands in `r->uri` until the location was found */
    ngx_str_t                  uri;         /* what stood there, and will again */
    ngx_str_t                  target;      /* what the backend is asked for; empty where it is what the client sent */
    ngx_str_t                  unparsed_uri;/* what stands in its place else, while that stands there */
    ngx_flag_t                 valid_unparsed_uri; /* and whether nginx would have sent it on as it is */

    sparrow_answer_t          *answer;      /* what is told in the location; NULL: it says that itself */

    ngx_str_t                  backend;     /* if a key leads to one of its endpoints, until that was done */
    ngx_flag_t                 has_named;   /* whether it has the endpoint that the client named */

    ngx_http_request_t        *request;
    sparrow_endpoint_t         endpoints[SPARROW_MAX_TRIES];
    ngx_str_t                  names[SPARROW_MAX_TRIES]; /* of their addresses, for logs */
    u_char                     first_name[NGX_SOCKADDR_STRLEN]; /* where the first of them stands */
    ngx_uint_t                 tries;       /* how many there are; 0: it has no backend */
    ngx_uint_t                 current;     /* the one that is tried */
    ngx_flag_t                 busy;        /* whether it has the request, as far as that is counted */
    ngx_sockaddr_t             sockaddr;    /* its address */
    sparrow_connections_t     *connections; /* those that its upstream keeps; NULL: it keeps none */
    u_char                     tls_identity[SPARROW_TLS_IDENTITY_LEN]; /* who may use its connection after it, over TLS */
} sparrow_ctx_t;

sparrow_bytes_t sparrow_bytes(ngx_str_t *str);
ngx_int_t sparrow_copy(ngx_pool_t *pool, ngx_str_t *str, sparrow_bytes_t bytes);

sparrow_ctx_t *sparrow_add_ctx(ngx_http_request_t *r);
sparrow_ctx_t *sparrow_get_ctx(ngx_http_request_t *r);
void sparrow_restore_target(ngx_http_request_t *r, sparrow_ctx_t *ctx);

ngx_int_t sparrow_server_rewrite_handler(ngx_http_request_t *r);
ngx_int_t sparrow_rewrite_handler(ngx_http_request_t *r);
ngx_int_t sparrow_add_variables(ngx_conf_t *cf);
ngx_int_t sparrow_host_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_port_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_upgrade_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_connection_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_escaped_target_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_set_cookie_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_init_request_id(ngx_conf_t *cf);
void sparrow_set_variable(ngx_http_request_t *r, ngx_int_t index, ngx_str_t *text);
ngx_int_t sparrow_endpoint_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_known_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
ngx_int_t sparrow_choose_endpoint(ngx_http_request_t *r, sparrow_ctx_t *ctx);
char *sparrow_backends(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *sparrow_keep_connections(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t sparrow_init_connections(ngx_conf_t *cf, sparrow_connections_t *all);
ngx_int_t sparrow_set_tls_identity(ngx_http_request_t *r, sparrow_ctx_t *ctx);
ngx_int_t sparrow_take_connection(ngx_peer_connection_t *pc, sparrow_ctx_t *ctx);
void sparrow_keep_connection(ngx_peer_connection_t *pc, sparrow_ctx_t *ctx, ngx_uint_t state);
char *sparrow_certificates(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t sparrow_init_certificates(ngx_conf_t *cf);
char *sparrow_open_counts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t sparrow_init_counts(ngx_conf_t *cf);
char *sparrow_remember_passwords(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t sparrow_init_passwords(ngx_conf_t *cf);
sparrow_bytes_t sparrow_server_name(ngx_http_request_t *r);

extern ngx_module_t  ngx_http_sparrow_module;

#endif
