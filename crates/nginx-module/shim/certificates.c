/*
 * Certificates of the table, by the host that a client names when it opens a connection (SNI):
 *
 *   ClientHello            which host it is: none is rejected, and sessions of other hosts are not taken up again
 *   choice of certificate  the host's, which is read from PEM once a worker
 *
 * nginx itself has the same for `ssl_certificate` with a variable, but reads the PEM at each handshake. A server is given such a
 * variable, so that nginx accepts it, and then what is here in place of nginx's own.
 */

#include "sparrow.h"


#if (NGX_HTTP_SSL)

/* How many a worker keeps read: those that were used last. */
#define SPARROW_CERTIFICATES_KEPT  2048

/* What is empty, and there: nginx asks for the certificate by it. */
#define SPARROW_CERTIFICATE_VARIABLE  "$sparrow_module_version"


typedef struct {
    /* By its id. */
    ngx_str_node_t     node;
    ngx_queue_t        queue;
    X509              *leaf;
    STACK_OF(X509)    *chain;
    EVP_PKEY          *key;
} sparrow_kept_certificate_t;


/* The one that was used last is the first of the queue. */
struct sparrow_certificate_cache_s {
    ngx_rbtree_t       tree;
    ngx_rbtree_node_t  sentinel;
    ngx_queue_t        used;
    ngx_uint_t         number;
};


static void
sparrow_free_certificate(sparrow_kept_certificate_t *kept)
{
    X509_free(kept->leaf);
    sk_X509_pop_free(kept->chain, X509_free);
    EVP_PKEY_free(kept->key);
    ngx_free(kept);
}


static void
sparrow_forget_certificate(sparrow_certificate_cache_t *cache, sparrow_kept_certificate_t *kept)
{
    ngx_rbtree_delete(&cache->tree, &kept->node.node);
    ngx_queue_remove(&kept->queue);
    cache->number--;
    sparrow_free_certificate(kept);
}


static void
sparrow_free_certificates(void *data)
{
    sparrow_certificate_cache_t  *cache = data;

    while (!ngx_queue_empty(&cache->used)) {
        sparrow_forget_certificate(cache, ngx_queue_data(ngx_queue_head(&cache->used), sparrow_kept_certificate_t, queue));
    }
}


/* Keys have no passwords: without this, OpenSSL would ask the terminal. */
static int
sparrow_no_password(char *buf, int size, int rwflag, void *data)
{
    return -1;
}


static ngx_int_t
sparrow_read_chain(sparrow_kept_certificate_t *kept, sparrow_bytes_t pem)
{
    BIO            *bio;
    X509           *one;
    unsigned long   error;

    bio = BIO_new_mem_buf(pem.data, (int) pem.len);
    if (bio == NULL) {
        return NGX_ERROR;
    }

    kept->leaf = PEM_read_bio_X509(bio, NULL, sparrow_no_password, NULL);
    kept->chain = sk_X509_new_null();

    if (kept->leaf == NULL || kept->chain == NULL) {
        BIO_free(bio);
        return NGX_ERROR;
    }

    while ((one = PEM_read_bio_X509(bio, NULL, sparrow_no_password, NULL)) != NULL) {
        if (sk_X509_push(kept->chain, one) == 0) {
            X509_free(one);
            BIO_free(bio);
            return NGX_ERROR;
        }
    }

    BIO_free(bio);

    /* The end of the file is told as an error. */
    error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
        return NGX_ERROR;
    }
    ERR_clear_error();

    return NGX_OK;
}


static ngx_int_t
sparrow_read_certificate(sparrow_kept_certificate_t *kept, sparrow_certificate_t *pem)
{
    BIO  *bio;

    if (sparrow_read_chain(kept, pem->chain) != NGX_OK) {
        return NGX_ERROR;
    }

    bio = BIO_new_mem_buf(pem->key.data, (int) pem->key.len);
    if (bio == NULL) {
        return NGX_ERROR;
    }

    kept->key = PEM_read_bio_PrivateKey(bio, NULL, sparrow_no_password, NULL);
    BIO_free(bio);

    return kept->key ? NGX_OK : NGX_ERROR;
}


/* The certificate of an id, read if it is not kept; NULL, and told in the error log, if it cannot be. */
static sparrow_kept_certificate_t *
sparrow_get_certificate(sparrow_main_conf_t *smcf, sparrow_bytes_t id, ngx_log_t *log)
{
    uint32_t                      hash;
    ngx_str_t                     name;
    sparrow_certificate_t         pem;
    sparrow_kept_certificate_t   *kept;
    sparrow_certificate_cache_t  *cache = smcf->certificates;

    hash = ngx_crc32_long((u_char *) id.data, id.len);
    name.data = (u_char *) id.data;
    name.len = id.len;

    kept = (sparrow_kept_certificate_t *) ngx_str_rbtree_lookup(&cache->tree, &name, hash);
    if (kept) {
        ngx_queue_remove(&kept->queue);
        ngx_queue_insert_head(&cache->used, &kept->queue);
        return kept;
    }

    /* Its id is behind it. The next call may move that which was given. */
    kept = ngx_calloc(sizeof(sparrow_kept_certificate_t) + id.len, log);
    if (kept == NULL) {
        return NULL;
    }

    kept->node.node.key = hash;
    kept->node.str.data = (u_char *) &kept[1];
    kept->node.str.len = id.len;
    ngx_memcpy(kept->node.str.data, id.data, id.len);

    id.data = kept->node.str.data;
    sparrow_certificate_find(smcf->table, id, &pem);
    if (pem.complaint.len) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "sparrow: %*s", pem.complaint.len, pem.complaint.data);
        sparrow_free_certificate(kept);
        return NULL;
    }

    ERR_clear_error();
    if (sparrow_read_certificate(kept, &pem) != NGX_OK) {
        ngx_ssl_error(NGX_LOG_ERR, log, 0,
                      "sparrow: the handshake fails, other hosts are served: the certificate \"%V\" cannot be read",
                      &kept->node.str);
        sparrow_free_certificate(kept);
        return NULL;
    }

    if (cache->number == SPARROW_CERTIFICATES_KEPT) {
        sparrow_forget_certificate(cache, ngx_queue_data(ngx_queue_last(&cache->used), sparrow_kept_certificate_t, queue));
    }

    ngx_rbtree_insert(&cache->tree, &kept->node.node);
    ngx_queue_insert_head(&cache->used, &kept->queue);
    cache->number++;

    return kept;
}


static int
sparrow_choose_certificate(ngx_ssl_conn_t *ssl_conn, void *arg)
{
    const char                  *name;
    ngx_connection_t            *c;
    sparrow_bytes_t              host;
    sparrow_srv_conf_t          *sscf = arg;
    sparrow_handshake_t          handshake;
    sparrow_kept_certificate_t  *kept;

    c = ngx_ssl_get_connection(ssl_conn);

    name = SSL_get_servername(ssl_conn, TLSEXT_NAMETYPE_host_name);
    host.data = (const u_char *) name;
    host.len = name ? ngx_strlen(name) : 0;

    /* That it is served was seen with the ClientHello; the table may be another one by now. */
    sparrow_handshake_find(sscf->certificates->table, (uint8_t) sscf->listener, host, &handshake);
    if (handshake.kind != SPARROW_HANDSHAKE_CERTIFICATE) {
        return 0;
    }

    if (ngx_memcmp(handshake.tls_class, sscf->tls_class, SPARROW_TLS_CLASS_LEN) != 0) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "sparrow: the handshake fails, other hosts are served: clients of \"%*s\" are asked something else than its server asks",
                      host.len, host.data);
        return 0;
    }

    kept = sparrow_get_certificate(sscf->certificates, handshake.certificate, c->log);
    if (kept == NULL) {
        return 0;
    }

    if (SSL_use_cert_and_key(ssl_conn, kept->leaf, kept->key, kept->chain, 1) != 1) {
        ngx_ssl_error(NGX_LOG_ERR, c->log, 0,
                      "sparrow: the handshake fails, other hosts are served: the certificate \"%V\" cannot be used", &kept->node.str);
        return 0;
    }

    return 1;
}


/* The host that a client names: RFC 6066, section 3. A list with one name, each with its length of 16 bits. */
static sparrow_bytes_t
sparrow_named_host(ngx_ssl_conn_t *ssl_conn)
{
    size_t                len;
    const unsigned char  *data;
    sparrow_bytes_t       host = { NULL, 0 };

    if (SSL_client_hello_get0_ext(ssl_conn, TLSEXT_TYPE_server_name, &data, &len) == 0) {
        return host;
    }

    /* OpenSSL rejects what is not well-formed, later. */
    if (len < 5 || data[2] != TLSEXT_NAMETYPE_host_name || (size_t) (data[3] << 8 | data[4]) != len - 5) {
        return host;
    }

    host.data = &data[5];
    host.len = len - 5;

    return host;
}


/* What nginx does with a ClientHello that is not rejected. Before 1.29.2 it takes the server of the named host later. */
static int
sparrow_accept_client_hello(ngx_ssl_conn_t *ssl_conn, int *alert)
{
#if (nginx_version >= 1029002)
    return ngx_ssl_client_hello_callback(ssl_conn, alert, NULL);
#else
    return SSL_CLIENT_HELLO_SUCCESS;
#endif
}


static int
sparrow_client_hello(ngx_ssl_conn_t *ssl_conn, int *alert, void *arg)
{
    unsigned int         len;
    ngx_connection_t    *c;
    unsigned char        digest[EVP_MAX_MD_SIZE];
    sparrow_srv_conf_t  *sscf = arg;
    sparrow_handshake_t  handshake;

    c = ngx_ssl_get_connection(ssl_conn);

    sparrow_handshake_find(sscf->certificates->table, (uint8_t) sscf->listener, sparrow_named_host(ssl_conn), &handshake);

    switch (handshake.kind) {

    case SPARROW_HANDSHAKE_CERTIFICATE:
        /* Before sessions are looked for: one that was made with another host is as if it were not there. */
        if (EVP_Digest(handshake.session_context.data, handshake.session_context.len, digest, &len, EVP_sha256(), NULL) == 1
            && len <= SSL_MAX_SID_CTX_LENGTH && SSL_set_session_id_context(ssl_conn, digest, len) == 1)
        {
            return sparrow_accept_client_hello(ssl_conn, alert);
        }
        break;

    case SPARROW_HANDSHAKE_REJECTED:
        /* As `ssl_reject_handshake` does. */
        c->ssl->handshake_rejected = 1;
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_CLIENT_HELLO_ERROR;

    default:
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "sparrow: %*s", handshake.complaint.len, handshake.complaint.data);
    }

    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}


/* One name in an array, as two directives of nginx would have put it there. */
static ngx_array_t *
sparrow_variable_array(ngx_conf_t *cf)
{
    ngx_str_t    *name;
    ngx_array_t  *array;

    array = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    if (array == NULL) {
        return NULL;
    }

    name = ngx_array_push(array);
    if (name) {
        ngx_str_set(name, SPARROW_CERTIFICATE_VARIABLE);
    }

    return array;
}


/* 32 hexadecimal digits. */
static ngx_int_t
sparrow_read_tls_class(ngx_str_t *text, uint8_t *tls_class)
{
    ngx_int_t   byte;
    ngx_uint_t  i;

    if (text->len != 2 * SPARROW_TLS_CLASS_LEN) {
        return NGX_ERROR;
    }

    for (i = 0; i < SPARROW_TLS_CLASS_LEN; i++) {
        byte = ngx_hextoi(&text->data[2 * i], 2);
        if (byte == NGX_ERROR) {
            return NGX_ERROR;
        }

        tls_class[i] = (uint8_t) byte;
    }

    return NGX_OK;
}


/* sparrow_certificates [CLASS]; */
char *
sparrow_certificates(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t                    *value;
    ngx_pool_cleanup_t           *cln;
    sparrow_srv_conf_t           *sscf = conf;
    sparrow_main_conf_t          *smcf;
    ngx_http_ssl_srv_conf_t      *ssl;
    sparrow_certificate_cache_t  *cache;

    if (sscf->certificates) {
        return "is duplicate";
    }

    value = cf->args->elts;
    if (cf->args->nelts == 2 && sparrow_read_tls_class(&value[1], sscf->tls_class) != NGX_OK) {
        return "takes 32 hexadecimal digits";
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sparrow_module);
    ssl = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);

    if (ssl->certificates != NGX_CONF_UNSET_PTR) {
        return "has no \"ssl_certificate\" beside it";
    }

    ssl->certificates = sparrow_variable_array(cf);
    ssl->certificate_keys = sparrow_variable_array(cf);
    if (ssl->certificates == NULL || ssl->certificate_keys == NULL) {
        return NGX_CONF_ERROR;
    }

    if (smcf->certificates == NULL) {
        cln = ngx_pool_cleanup_add(cf->pool, sizeof(sparrow_certificate_cache_t));
        if (cln == NULL) {
            return NGX_CONF_ERROR;
        }

        cache = cln->data;
        cache->number = 0;
        ngx_queue_init(&cache->used);
        ngx_rbtree_init(&cache->tree, &cache->sentinel, ngx_str_rbtree_insert_value);
        cln->handler = sparrow_free_certificates;
        smcf->certificates = cache;
    }

    sscf->certificates = smcf;

    return NGX_CONF_OK;
}


ngx_int_t
sparrow_init_certificates(ngx_conf_t *cf)
{
    ngx_uint_t                   i;
    sparrow_srv_conf_t          *sscf;
    ngx_http_ssl_srv_conf_t     *ssl;
    ngx_http_core_srv_conf_t   **servers;
    ngx_http_core_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    servers = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {
        sscf = servers[i]->ctx->srv_conf[ngx_http_sparrow_module.ctx_index];
        if (sscf->certificates == NULL) {
            continue;
        }

        ssl = servers[i]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
        if (ssl->certificates->nelts != 1) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "the server in %s:%ui has \"sparrow_certificates\", beside which there is no \"ssl_certificate\"",
                          servers[i]->file_name, servers[i]->line);
            return NGX_ERROR;
        }

        SSL_CTX_set_client_hello_cb(ssl->ssl.ctx, sparrow_client_hello, sscf);
        SSL_CTX_set_cert_cb(ssl->ssl.ctx, sparrow_choose_certificate, sscf);
    }

    return NGX_OK;
}


/* The host for which the connection of a request was opened, where it got a certificate of the table for that. */
sparrow_bytes_t
sparrow_server_name(ngx_http_request_t *r)
{
    const char          *name;
    sparrow_bytes_t      host = { NULL, 0 };
    sparrow_srv_conf_t  *sscf;

    sscf = ngx_http_get_module_srv_conf(r, ngx_http_sparrow_module);
    if (sscf->certificates == NULL || r->connection->ssl == NULL) {
        return host;
    }

    name = SSL_get_servername(r->connection->ssl->connection, TLSEXT_NAMETYPE_host_name);
    if (name) {
        host.data = (const u_char *) name;
        host.len = ngx_strlen(name);
    }

    return host;
}

#else

char *
sparrow_certificates(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return "needs an nginx with http_ssl_module";
}


ngx_int_t
sparrow_init_certificates(ngx_conf_t *cf)
{
    return NGX_OK;
}


sparrow_bytes_t
sparrow_server_name(ngx_http_request_t *r)
{
    sparrow_bytes_t  host = { NULL, 0 };

    return host;
}

#endif
