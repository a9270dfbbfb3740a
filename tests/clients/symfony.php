<?php
// symfony.php: two messages through Symfony's SendmailTransport, which talks SMTP to one "sendmail -bs".
require 'Symfony/Component/Mailer/autoload.php';

use Symfony\Component\Mailer\Mailer;
use Symfony\Component\Mailer\Transport;
use Symfony\Component\Mime\Email;

$mailer = new Mailer(Transport::fromDsn('sendmail://default'));
$mailer->send((new Email())
	->from('Ällice <alice@example.org>')
	->to('bob@example.org', 'Carol <carol@example.org>')
	->cc('dave@example.org')
	->bcc('eve@example.org')
	->subject('Grüße, € and more')
	->text("hello\r\n.\r\n..two dots\r\ngrün\r\n")
	->attach(implode('', array_map('chr', range(0, 255))), 'all.bin', 'application/octet-stream'));
$mailer->send((new Email())
	->from('alice@example.org')
	->to('frank@example.org')
	->subject('second')
	->text('from the same process'));
