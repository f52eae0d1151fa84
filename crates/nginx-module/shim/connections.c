/*
 * Connections to backends that a worker keeps for further requests, all of one upstream. One is used again only for the address
 * that it was made to. Over TLS it is used again only by requests of the same location and the same name: the location says
 * by whom the backend is verified and what it is shown, and what it was asked to be called it was verified for.
 *
 * They are found by a hash, so a request costs the same however many there are.
 */

#include "sparrow.h"


/* What a connection is found by; of zeros where nothing is said, so that it can be compared and hashed as bytes. */
typedef struct {
    u_char                     address[16];
    u_char                     tls[SPARROW_TLS_IDENTITY_LEN];
    uint32_t                   port;
    uint32_t                   family;
} sparrow_kept_key_t;

typedef struct {
    ngx_queue_t                order;       /* among all that are idle, the one used last first; or among those that are free */
    ngx_queue_t                alike;       /* among the idle ones of its bucket */
    sparrow_connections_t     *all;
    ngx_connection_t          *connection;
    sparrow_kept_key_t         key;
} sparrow_kept_t;

struct sparrow_connections_s {
    ngx_uint_t                 most;        /* how many may be idle */
    ngx_msec_t                 idle_time;   /* how long one may be */
    ngx_uint_t                 requests;    /* for how many requests one is used */
    ngx_msec_t                 age;         /* for how long; 0: for ever */

    ngx_queue_t                idle;
    ngx_queue_t                free;
    ngx_queue_t               *buckets;
    ngx_uint_t                 mask;        /* their number less one, which is a power of two */
};


static void
sparrow_make_key(sparrow_ctx_t *ctx, sparrow_kept_key_t *key)
{
    sparrow_endpoint_t  *endpoint;

    endpoint = &ctx->endpoints[ctx->current];

    ngx_memzero(key, sizeof(sparrow_kept_key_t));
    ngx_memcpy(key->address, endpoint->address, endpoint->family == 6 ? 16 : 4);
    ngx_memcpy(key->tls, ctx->tls_identity, SPARROW_TLS_IDENTITY_LEN);
    key->port = endpoint->port;
    key->family = endpoint->family;
}


static ngx_queue_t *
sparrow_bucket(sparrow_connections_t *all, sparrow_kept_key_t *key)
{
    return &all->buckets[ngx_murmur_hash2((u_char *) key, sizeof(sparrow_kept_key_t)) & all->mask];
}


/* It is idle no more. */
static void
sparrow_take_out(sparrow_kept_t *kept)
{
    ngx_queue_remove(&kept->alike);
    ngx_queue_remove(&kept->order);
    ngx_queue_insert_head(&kept->all->free, &kept->order);
}


static void
sparrow_close_connection(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)
    if (c->ssl) {
        /* The backend may be gone: nobody waits for what it says to that. */
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = sparrow_close_connection;
            return;
        }
    }
#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}


/* Something is there to read from a connection that nobody reads from, its time is over, or the worker ends. */
static void
sparrow_kept_read_handler(ngx_event_t *ev)
{
    char               byte[1];
    ssize_t            n;
    ngx_connection_t  *c = ev->data;

    if (!c->close && !ev->timedout) {
        n = recv(c->fd, byte, 1, MSG_PEEK);

        if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
            ev->ready = 0;

            if (ngx_handle_read_event(ev, 0) == NGX_OK) {
                return;
            }
        }
    }

    sparrow_take_out(c->data);
    sparrow_close_connection(c);
}


static void
sparrow_kept_write_handler(ngx_event_t *ev)
{
}


/* One that is idle, and that requests of this key may use; NULL if there is none. */
static sparrow_kept_t *
sparrow_find_kept(sparrow_connections_t *all, sparrow_kept_key_t *key)
{
    ngx_queue_t     *bucket, *q;
    sparrow_kept_t  *kept;

    bucket = sparrow_bucket(all, key);

    for (q = ngx_queue_head(bucket); q != ngx_queue_sentinel(bucket); q = ngx_queue_next(q)) {
        kept = ngx_queue_data(q, sparrow_kept_t, alike);

        if (ngx_memcmp(&kept->key, key, sizeof(sparrow_kept_key_t)) == 0) {
            return kept;
        }
    }

    return NULL;
}


/* Takes a connection to the endpoint whose turn it is, if one is kept that the request may use. */
ngx_int_t
sparrow_take_connection(ngx_peer_connection_t *pc, sparrow_ctx_t *ctx)
{
    sparrow_kept_t      *kept;
    ngx_connection_t    *c;
    sparrow_kept_key_t   key;

    sparrow_make_key(ctx, &key);

    kept = sparrow_find_kept(ctx->connections, &key);
    if (kept == NULL) {
        return NGX_OK;
    }

    c = kept->connection;
    sparrow_take_out(kept);

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    c->idle = 0;
    c->sent = 0;
    c->data = NULL;
    c->log = pc->log;
    c->pool->log = pc->log;
    c->read->log = pc->log;
    c->write->log = pc->log;

    pc->connection = c;
    pc->cached = 1;

    return NGX_DONE;
}


/* Whether the next request may be sent over the connection of one that has ended. */
static ngx_flag_t
sparrow_is_reusable(sparrow_connections_t *all, ngx_connection_t *c, ngx_http_upstream_t *u)
{
    if (c->read->eof || c->read->error || c->read->timedout || c->write->error || c->write->timedout) {
        return 0;
    }

    /* Of what the backend has sent and was sent nothing may be left. */
    if (!u->keepalive || !u->request_body_sent) {
        return 0;
    }

    if (c->requests >= all->requests || (all->age && ngx_current_msec - c->start_time > all->age)) {
        return 0;
    }

    return !ngx_terminate && !ngx_exiting && ngx_handle_read_event(c->read, 0) == NGX_OK;
}


/*
 * Keeps the connection of a request that has ended, if it can be used again. If there are too many, the one that is idle for longest goes:
 * but not for a further one of the same use, or clients that ask for all backends in one order would leave none for whoever comes next.
 */
void
sparrow_keep_connection(ngx_peer_connection_t *pc, sparrow_ctx_t *ctx, ngx_uint_t state)
{
    sparrow_kept_t         *kept;
    ngx_connection_t       *c = pc->connection;
    sparrow_kept_key_t      key;
    sparrow_connections_t  *all = ctx->connections;

    if (c == NULL || (state & NGX_PEER_FAILED) || !sparrow_is_reusable(all, c, ctx->request->upstream)) {
        return;
    }

    sparrow_make_key(ctx, &key);

    if (ngx_queue_empty(&all->free)) {
        if (sparrow_find_kept(all, &key)) {
            return;
        }

        kept = ngx_queue_data(ngx_queue_last(&all->idle), sparrow_kept_t, order);
        sparrow_take_out(kept);
        sparrow_close_connection(kept->connection);
    }

    kept = ngx_queue_data(ngx_queue_head(&all->free), sparrow_kept_t, order);
    ngx_queue_remove(&kept->order);
    ngx_queue_insert_head(&all->idle, &kept->order);

    kept->key = key;
    ngx_queue_insert_head(sparrow_bucket(all, &key), &kept->alike);
    kept->connection = c;

    pc->connection = NULL;

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->read->delayed = 0;
    ngx_add_timer(c->read, all->idle_time);

    c->write->handler = sparrow_kept_write_handler;
    c->read->handler = sparrow_kept_read_handler;

    c->data = kept;
    c->idle = 1;
    c->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;

    if (c->read->ready) {
        sparrow_kept_read_handler(c->read);
    }
}


/* What a connection of the request is for, over TLS. Without TLS it stays empty. */
ngx_int_t
sparrow_set_tls_identity(ngx_http_request_t *r, sparrow_ctx_t *ctx)
{
#if (NGX_HTTP_SSL)
    EVP_MD_CTX                *hash;
    ngx_int_t                  rc;
    ngx_str_t                  name;
    ngx_http_upstream_t       *u = r->upstream;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_memzero(ctx->tls_identity, SPARROW_TLS_IDENTITY_LEN);

    if (!u->ssl) {
        return NGX_OK;
    }

    ngx_str_null(&name);
    if (u->conf->ssl_name && ngx_http_complex_value(r, u->conf->ssl_name, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    hash = EVP_MD_CTX_new();
    if (hash == NULL) {
        return NGX_ERROR;
    }

    /* The length keeps the two apart. */
    rc = EVP_DigestInit_ex(hash, EVP_sha256(), NULL)
         && EVP_DigestUpdate(hash, &clcf->name.len, sizeof(clcf->name.len))
         && EVP_DigestUpdate(hash, clcf->name.data, clcf->name.len)
         && EVP_DigestUpdate(hash, name.data, name.len)
         && EVP_DigestFinal_ex(hash, ctx->tls_identity, NULL)
         ? NGX_OK : NGX_ERROR;

    EVP_MD_CTX_free(hash);

    return rc;
#else
    return NGX_OK;
#endif
}


static ngx_msec_t
sparrow_parse_time(ngx_str_t *value)
{
    ngx_int_t  time;

    time = ngx_parse_time(value, 0);

    return time > 0 ? (ngx_msec_t) time : 0;
}


/* sparrow_keep_connections NUMBER TIME REQUESTS [AGE]; */
char *
sparrow_keep_connections(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t               most, requests;
    ngx_str_t              *value;
    sparrow_srv_conf_t     *sscf;
    sparrow_connections_t  *all;

    sscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_sparrow_module);
    if (sscf->connections) {
        return "is duplicate";
    }

    all = ngx_pcalloc(cf->pool, sizeof(sparrow_connections_t));
    if (all == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    most = ngx_atoi(value[1].data, value[1].len);
    requests = ngx_atoi(value[3].data, value[3].len);
    all->idle_time = sparrow_parse_time(&value[2]);
    all->age = cf->args->nelts == 5 ? sparrow_parse_time(&value[4]) : 0;

    if (most < 1 || most > 65536 || requests < 1 || all->idle_time == 0 || (cf->args->nelts == 5 && all->age == 0)) {
        return "takes a number from 1 to 65536, a time, a number of requests, and perhaps a time for which one is used";
    }

    all->most = (ngx_uint_t) most;
    all->requests = (ngx_uint_t) requests;
    sscf->connections = all;

    return NGX_CONF_OK;
}


/* Sets aside what connections are kept in. */
ngx_int_t
sparrow_init_connections(ngx_conf_t *cf, sparrow_connections_t *all)
{
    ngx_uint_t       i;
    sparrow_kept_t  *kept;

    for (i = 1; i < all->most; i *= 2) { /* void */ }
    all->mask = i - 1;

    all->buckets = ngx_palloc(cf->pool, i * sizeof(ngx_queue_t));
    kept = ngx_pcalloc(cf->pool, all->most * sizeof(sparrow_kept_t));
    if (all->buckets == NULL || kept == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i <= all->mask; i++) {
        ngx_queue_init(&all->buckets[i]);
    }

    ngx_queue_init(&all->idle);
    ngx_queue_init(&all->free);

    for (i = 0; i < all->most; i++) {
        kept[i].all = all;
        ngx_queue_insert_head(&all->free, &kept[i].order);
    }

    return NGX_OK;
}
